// How long a process leaves alone what it cannot decide on, in milliseconds.
export const PASSED_OVER_FOR = 60_000;
const MOST = 1_000;

/** Deliveries that this process leaves to others for a while, as it does not know what they need. */
export class PassedOver {
  private readonly until = new Map<string, number>();

  /** Their ids. */
  get ids(): readonly string[] {
    const now = performance.now();
    for (const [id, until] of this.until) {
      if (until > now) break;
      this.until.delete(id);
    }
    return [...this.until.keys()];
  }

  /** Passes a delivery over. Returns whether there was room to remember it. */
  add(id: string): boolean {
    // Put last: those that end first come first.
    this.until.delete(id);
    if (this.until.size >= MOST) return false;
    this.until.set(id, performance.now() + PASSED_OVER_FOR);
    return true;
  }
}
