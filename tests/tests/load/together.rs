//! Several people load at the same time.

use futures::future::join_all;

use crate::{Ran, archive, berth, full, importer::Importer, loaded, nodes};

#[tokio::test]
async fn two_loads_at_once_on_the_same_node_both_count() {
    let (importer, names) = (Importer::new(), nodes("both", &["a", "b"]).await);
    let via = importer.via();
    let mut ids = Vec::new();
    for image in ["one", "two"] {
        let name = format!("app:{image}");
        ids.push(archive(&importer.path(image), image, &[&name]).await.id());
    }
    let load = async |image: &str| {
        let (name, file) = (format!("app:{image}"), importer.path(image));
        Ran::of(berth(&["load", &name, "--from", file.to_str().unwrap(), "--via", &via, "-l", "test=both"]).await).await
    };
    let (one, two) = tokio::join!(load("one"), load("two"));
    assert_eq!((one.code, two.code), (Some(0), Some(0)), "{one:?} {two:?}");
    for name in &names {
        let loaded = loaded(name).await;
        assert_eq!(loaded[full("app:one")]["id"], ids[0]);
        assert_eq!(loaded[full("app:two")]["id"], ids[1]);
    }
}

#[tokio::test]
async fn of_many_writers_at_once_none_is_lost() {
    let names = nodes("many", &["a"]).await;
    let images: Vec<String> = (0..12).map(|number| format!("app:{number}")).collect();
    let say = async |image: &String| Ran::of(berth(&["loaded", image, "--node", &names[0]]).await).await;
    for ran in join_all(images.iter().map(say)).await {
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let loaded = loaded(&names[0]).await;
    assert!(images.iter().all(|image| loaded.get(full(image)).is_some()), "{loaded:#}");
}
