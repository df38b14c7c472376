/** How a subscriber treats what it is sent. */
export type Behaviour = "fine" | "slow" | "server error" | "wrong answer" | "hangs up" | "down";

export interface Subscriber {
  readonly name: string;
  readonly events: ReadonlySet<string>;
  /** Shares of requests, 0 to 1; the rest is fine. */
  readonly faults: readonly (readonly [behaviour: Behaviour, share: number])[];
}

/** Who wants to hear of what, and how well they listen: real ones are like that, only less predictable. */
export const SUBSCRIBERS: readonly Subscriber[] = [
  {
    name: "audit",
    events: new Set(["branch_protection_rule", "deploy_key", "member", "membership", "organization", "org_block", "public", "repository"]),
    faults: [["slow", 0.08]],
  },
  {
    name: "chat",
    events: new Set(["discussion", "issue_comment", "issues", "pull_request", "pull_request_review", "push", "release", "star"]),
    faults: [
      ["server error", 0.12],
      ["hangs up", 0.05],
      ["wrong answer", 0.05],
    ],
  },
  { name: "archive", events: new Set(["deployment", "package", "release"]), faults: [["down", 1]] },
];

export const subscribersOf = (event: string): readonly Subscriber[] => SUBSCRIBERS.filter((one) => one.events.has(event));
