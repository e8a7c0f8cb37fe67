# The image of a gateway node: the program, the roots of trust, and nothing else, not
# even a shell. GoReleaser builds it with the program it released; by hand, see
# README.md in this folder.
FROM --platform=$BUILDPLATFORM alpine:3.22 AS roots
# Its version follows the base image: an old pin would keep a root that was withdrawn.
# hadolint ignore=DL3018
RUN apk add --no-cache ca-certificates && mkdir -p /rootfs/var/lib/portcullis

FROM scratch
ARG TARGETPLATFORM
LABEL org.opencontainers.image.title="Portcullis gateway" \
      org.opencontainers.image.description="One node of the data plane: decides and forwards requests" \
      org.opencontainers.image.source="https://github.com/portcullis-gateway/portcullis" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=roots /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=roots --chown=65532:65532 /rootfs/var/lib/portcullis /var/lib/portcullis
COPY $TARGETPLATFORM/gateway /usr/bin/gateway
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /var/lib/portcullis
VOLUME /var/lib/portcullis
EXPOSE 8080 9090
ENTRYPOINT ["/usr/bin/gateway"]
CMD ["--listen=0.0.0.0:8080", "--admin-listen=0.0.0.0:9090", "--data-dir=/var/lib/portcullis"]
