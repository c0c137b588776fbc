# syntax=docker/dockerfile:1
# portcullis in a container: docs/containers.md says how to run it.
FROM rust:1.90-slim-bookworm AS build
# aws-lc-rs compiles C. No versions are pinned: what Debian mends should get in.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && install -D target/release/portcullis /out/portcullis

FROM debian:bookworm-slim
# The authorities that upstreams and the mail server are verified with.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 990 --home-dir /srv/portcullis --create-home portcullis \
 && install -d -o portcullis -g portcullis -m 700 /srv/portcullis/data
COPY --from=build /out/portcullis /usr/local/bin/portcullis
USER 990:990
WORKDIR /srv/portcullis
VOLUME ["/srv/portcullis/data"]
EXPOSE 4180 4190
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["portcullis", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["portcullis"]
CMD ["serve", "--log-format", "json"]
