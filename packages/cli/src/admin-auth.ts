import type { AuthConfig, AuthOptions, JwtOptions } from "@symphony/admin-api";
import type { Session } from "./session.ts";
import type { Settings } from "./settings.ts";

/**
 * Who is let in by the admin API, from configuration and environment.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field of `auth`.
 * @throws {ConfigError} `CONFIG_INVALID` there are no credentials, they are weak, or the tokens file cannot be read.
 */
export async function checkedAuth({ settings, loaded }: Pick<Session, "loaded" | "settings">): Promise<{
  readonly auth: AuthOptions;
  readonly authConfig: AuthConfig;
}> {
  const { assertCredentials, parseAuthConfig } = await import("@symphony/admin-api");
  const authConfig = parseAuthConfig(loaded.parsed.auth);
  const auth = authOf(settings, authConfig);
  assertCredentials(auth);
  return { auth, authConfig };
}

/** Secrets come from the environment only: what is on a command line is in every list of processes. */
function authOf(
  settings: Settings,
  { publicDocs, requireCronNonce, limits: _, trustedProxies: __, hosts: ___, ...claims }: AuthConfig,
): AuthOptions {
  const { authToken, authTokensFile, cronSecret } = settings;
  const jwt = jwtOf(settings, claims);
  return {
    publicDocs,
    requireCronNonce,
    ...(authToken.value === undefined ? {} : { token: authToken.value }),
    ...(authTokensFile.value === undefined ? {} : { tokensFile: authTokensFile.value }),
    ...(jwt === undefined ? {} : { jwt }),
    ...(cronSecret.value === undefined ? {} : { cronSecret: cronSecret.value }),
  };
}

function jwtOf({ authJwksUrl, authJwtSecret, authIssuer, authAudience }: Settings, claims: JwtOptions["claims"]): JwtOptions | undefined {
  const given = {
    ...(authJwksUrl.value === undefined ? {} : { jwksUrl: authJwksUrl.value }),
    ...(authJwtSecret.value === undefined ? {} : { secret: authJwtSecret.value }),
    ...(authIssuer.value === undefined ? {} : { issuer: authIssuer.value }),
    ...(authAudience.value === undefined ? {} : { audience: authAudience.value }),
  };
  return Object.keys(given).length === 0 ? undefined : { ...given, claims };
}
