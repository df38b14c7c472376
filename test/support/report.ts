/** Says what held and what did not, and counts. */
export class Report {
  passes = 0;
  failures = 0;

  /** Runs a check whose name is the claim; what it throws is the failure. Resolves with whether it held. */
  async step(claim: string, check: () => Promise<string | undefined>): Promise<boolean> {
    const startedAt = performance.now();
    try {
      const figures = await check();
      this.passes += 1;
      this.#say(`PASS ${claim} (${seconds(startedAt)})${figures === undefined ? "" : `\n     ${figures}`}`);
      return true;
    } catch (error) {
      this.failures += 1;
      this.#say(`FAIL ${claim} (${seconds(startedAt)})\n     ${(error as Error).message}`);
      return false;
    }
  }

  #say(text: string): void {
    process.stdout.write(`${text}\n`);
  }
}

const seconds = (since: number): string => `${((performance.now() - since) / 1_000).toFixed(1)} s`;
