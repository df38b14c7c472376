# An image with handlers: the configuration and its code in /symphony/app, on top of ours. This one holds the example of
# this repository and is built from its top level:
#
#   docker build -t symphony/github-webhooks -f deploy/Dockerfile.app .
#
# `@symphony/*`, zod and pg are found in /symphony/node_modules, above the application. Do not bring a second copy of
# `@symphony/core`: make it a peer dependency. TypeScript needs no build; Node.js takes the types off.
ARG NODE_IMAGE=node:24-bookworm-slim
ARG SYMPHONY_IMAGE=symphony/messenger

# The final image has no npm: what the application needs is installed here. Your own project would copy its
# package.json and package-lock.json and take all of node_modules.
FROM ${NODE_IMAGE} AS dependencies
WORKDIR /project
COPY . .
RUN --mount=type=cache,target=/root/.npm \
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --omit=dev --workspace @symphony/example-github-webhooks

FROM ${SYMPHONY_IMAGE}
COPY --from=dependencies /project/node_modules/@octokit node_modules/@octokit
COPY examples/github-webhooks ./
CMD ["consume"]
