/** What we keep of a delivery, whatever its event: one row of the activity table. */
export interface Activity {
  readonly event: string;
  /** `opened`, `created`…; null for events that have none. */
  readonly action: string | null;
  /** `owner/name`; null for what concerns an organization, an installation or nobody. */
  readonly repository: string | null;
  /** Repository, else organization, enterprise or account: what the event is about. */
  readonly scope: string;
  readonly actor: string;
  readonly title: string;
  readonly url: string | null;
  /** RFC 3339; null when the payload tells no time. */
  readonly occurredAt: string | null;
}

type Json = Readonly<Record<string, unknown>>;

/** Where an event keeps its subject, when that is not under its own name. Alternatives in order of preference. */
const SUBJECTS: Readonly<Record<string, readonly string[]>> = {
  branch_protection_rule: ["rule"],
  code_scanning_alert: ["alert"],
  commit_comment: ["comment"],
  dependabot_alert: ["alert"],
  deploy_key: ["key"],
  deployment_review: ["workflow_run"],
  discussion_comment: ["comment", "discussion"],
  fork: ["forkee"],
  gollum: ["pages"],
  issue_comment: ["comment", "issue"],
  issues: ["issue"],
  membership: ["team", "member"],
  meta: ["hook"],
  org_block: ["blocked_user"],
  organization: ["membership", "organization"],
  page_build: ["build"],
  ping: ["hook"],
  pull_request_review: ["review", "pull_request"],
  pull_request_review_comment: ["comment", "pull_request"],
  pull_request_review_thread: ["pull_request"],
  push: ["head_commit", "commits"],
  repository_vulnerability_alert: ["alert"],
  secret_scanning_alert: ["alert"],
  secret_scanning_alert_location: ["alert", "location"],
  status: ["commit"],
  team_add: ["team"],
  workflow_dispatch: ["inputs"],
};
const TITLE_FIELDS = [
  ...["title", "name", "tag_name", "summary", "full_name", "login", "slug", "message", "body", "note", "description"],
  ...["affected_package_name", "head_branch", "head_ref", "environment", "ref", "context", "reference", "content_type", "state", "status"],
];
const TIME_FIELDS = ["submitted_at", "updated_at", "starred_at", "timestamp", "completed_at", "started_at", "published_at", "created_at"];
const MAX_TITLE_CHARS = 120;

/**
 * Makes an activity of a GitHub event.
 *
 * @throws {TypeError} the payload is not an object: GitHub sends no such thing.
 */
export function normalise(event: string, payload: unknown): Activity {
  const root = objectOf(payload);
  if (root === undefined) throw new TypeError(`the payload of "${event}" is not an object`);
  const subjects = [...(SUBJECTS[event] ?? []), event].map((key) => firstObject(root[key])).filter((found) => found !== undefined);
  const repository = textOf(objectOf(root.repository)?.full_name);
  const actor = textOf(objectOf(root.sender)?.login) ?? textOf(objectOf(root.pusher)?.name) ?? "github";
  return {
    event,
    action: textOf(root.action),
    repository,
    scope: repository ?? scopeOf(root) ?? actor,
    actor,
    title: shorten(titleOf(root, subjects)),
    url: firstText([...subjects, root], ["html_url", "compare", "target_url", "url"]) ?? textOf(objectOf(root.repository)?.html_url),
    occurredAt: timeOf([...subjects, root]),
  };
}

function scopeOf(root: Json): string | null {
  const account = objectOf(objectOf(root.installation)?.account) ?? objectOf(root.account);
  return firstText([objectOf(root.organization), objectOf(root.enterprise), account], ["login", "slug", "name"]);
}

function titleOf(root: Json, subjects: readonly Json[]): string {
  const ref = textOf(root.ref);
  const number = subjects.map((subject) => subject.number).find((found) => typeof found === "number");
  const title = firstText(subjects, TITLE_FIELDS) ?? textOf(root.zen) ?? ref ?? firstText([root], TITLE_FIELDS) ?? "";
  return number === undefined ? title : `#${number} ${title}`;
}

function timeOf(places: readonly Json[]): string | null {
  for (const place of places) {
    for (const field of TIME_FIELDS) {
      const value = place[field];
      // Some payloads carry seconds since 1970 where others carry text.
      const at = typeof value === "number" ? value * 1000 : typeof value === "string" ? Date.parse(value) : Number.NaN;
      if (Number.isFinite(at)) return new Date(at).toISOString();
    }
  }
  return null;
}

function firstText(places: readonly (Json | undefined)[], fields: readonly string[]): string | null {
  for (const place of places) {
    for (const field of fields) {
      const text = textOf(place?.[field]);
      if (text !== null) return text;
    }
  }
  return null;
}

const shorten = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim();
  const characters = [...line];
  return characters.length > MAX_TITLE_CHARS ? `${characters.slice(0, MAX_TITLE_CHARS - 1).join("")}…` : line;
};

const objectOf = (value: unknown): Json | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
const firstObject = (value: unknown): Json | undefined => objectOf(Array.isArray(value) ? value[0] : value);
/** PostgreSQL's text cannot hold NUL; a title without it is still the title. */
const textOf = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value.replaceAll("\0", "") : null);
