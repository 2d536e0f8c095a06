//! stub
/// stub
#[derive(Debug, Default)]
pub struct Heartbeat;
impl Heartbeat {
    /// stub
    pub fn alive(&self, _now: std::time::Instant) -> bool {
        true
    }
}
