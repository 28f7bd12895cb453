# syntax=docker/dockerfile:1
# The image of Larder: static programs on nothing, not as root. For several architectures:
#   docker buildx build --platform linux/amd64,linux/arm64 --tag REGISTRY/larder:VERSION --push .
# Without a container engine: scripts/oci-image, which makes the same image.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base ca-certificates cmake linux-headers perl
WORKDIR /src
COPY . .
ARG TARGETARCH
# Alpine's target is musl: static without further ado.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=larder-target-${TARGETARCH} \
    cargo build --release --locked --package larder-server --package larder-cosi \
    && mkdir -p /image/bin /image/data /image/etc/ssl/certs /image/tmp \
    && cp target/release/larder target/release/larder-cosi /image/bin/ \
    && strip /image/bin/larder /image/bin/larder-cosi \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && printf 'root:x:0:0:root:/:/sbin/nologin\nlarder:x:65532:65532:Larder:/:/sbin/nologin\n' > /image/etc/passwd \
    && printf 'root:x:0:\nlarder:x:65532:\n' > /image/etc/group \
    && chmod 1777 /image/tmp && chown 65532:65532 /image/data

FROM scratch
COPY --from=build /image/ /
ENV PATH=/bin
EXPOSE 9000
USER 65532:65532
ENTRYPOINT ["/bin/larder"]
LABEL org.opencontainers.image.title="larder" \
      org.opencontainers.image.description="Erasure-coded S3 object store" \
      org.opencontainers.image.licenses="Apache-2.0"
