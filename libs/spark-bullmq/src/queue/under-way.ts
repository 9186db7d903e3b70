interface Sent {
  readonly handler: string;
  readonly count: number;
  /** Until when it counts, in milliseconds. */
  readonly until: number;
}

/** The deliveries that this process has on their way, by their jobs. */
export class UnderWay {
  /** In the order in which they were sent, which is that in which they expire. */
  private readonly jobs = new Map<string, Sent>();
  private readonly counts = new Map<string, number>();

  /** How many deliveries of a handler are on their way. */
  of(handler: string): number {
    return this.counts.get(handler) ?? 0;
  }

  add(jobId: string, sent: Sent): void {
    this.jobs.set(jobId, sent);
    this.counts.set(sent.handler, this.of(sent.handler) + sent.count);
  }

  /** Forgets a job that has ended. Returns its handler; undefined if the job is of another process. */
  remove(jobId: string): string | undefined {
    const sent = this.jobs.get(jobId);
    if (!sent) return undefined;
    this.jobs.delete(jobId);
    this.counts.set(sent.handler, this.of(sent.handler) - sent.count);
    return sent.handler;
  }

  /** Forgets the jobs that took too long. Returns how many deliveries they had. */
  expire(now: number): number {
    let expired = 0;
    for (const [jobId, { until, count }] of this.jobs) {
      if (until > now) break;
      this.remove(jobId);
      expired += count;
    }
    return expired;
  }

  clear(): void {
    this.jobs.clear();
    this.counts.clear();
  }
}
