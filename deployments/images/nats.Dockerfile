# The image of a NATS node: the program, the roots of trust, and nothing else, not
# even a shell. GoReleaser builds it with the program it released; by hand, see
# README.md in this folder.
FROM --platform=$BUILDPLATFORM alpine:3.22 AS roots
# Its version follows the base image: an old pin would keep a root that was withdrawn.
# hadolint ignore=DL3018
RUN apk add --no-cache ca-certificates && mkdir -p /rootfs/var/lib/portcullis

FROM scratch
ARG TARGETPLATFORM
LABEL org.opencontainers.image.title="Portcullis NATS" \
      org.opencontainers.image.description="A NATS server of the version that Portcullis is tested with" \
      org.opencontainers.image.source="https://github.com/portcullis-gateway/portcullis" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=roots /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=roots --chown=65532:65532 /rootfs/var/lib/portcullis /var/lib/portcullis
COPY deployments/packages/nats.conf /etc/portcullis/nats.conf
COPY $TARGETPLATFORM/nats /usr/bin/nats
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /var/lib/portcullis
VOLUME /var/lib/portcullis
EXPOSE 4222
ENTRYPOINT ["/usr/bin/nats"]
CMD ["--config=/etc/portcullis/nats.conf", "--addr=0.0.0.0"]
