# `docker build .` makes the whole image.
# Where image registries cannot be reached, the tests build the binary themselves and put its folder in place of the
# first stage (`--build-context build=DIR`, tests/src/berth/image.rs).

FROM docker.io/library/rust:1.95-alpine AS build
RUN apk add --no-cache build-base ca-certificates
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package berth \
    && install -D target/release/berth /out/berth \
    && install -D /etc/ssl/certs/ca-certificates.crt /out/ca-certificates.crt

FROM scratch
COPY --from=build /out/berth /berth
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/berth"]
