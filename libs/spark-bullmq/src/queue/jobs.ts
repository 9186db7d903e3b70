import type { CarriedDelivery } from 'nestjs-spark';

/** What a job has in Redis: ids, and nothing of the events. */
export interface JobData {
  readonly handler: string;
  readonly ids: readonly string[];
}

/** A job as BullMQ takes it. */
export interface CarriedJob {
  readonly name: string;
  readonly data: JobData;
  readonly opts: { readonly jobId: string; readonly priority: number };
}

// Spark's priorities may be below 0. BullMQ's begin with 1: a job with 0 would pass all others.
const SHIFT = 10_001;
const MOST = 2_097_152;

/** Puts deliveries into jobs: those of one handler and one priority together, at most `most` in one. */
export function jobsOf(deliveries: readonly CarriedDelivery[], most: number): CarriedJob[] {
  const groups = new Map<string, CarriedDelivery[]>();
  for (const delivery of deliveries) {
    const group = `${delivery.priority} ${delivery.handler}`;
    const others = groups.get(group);
    if (others) others.push(delivery);
    else groups.set(group, [delivery]);
  }
  return [...groups.values()].flatMap((group) => {
    const jobs: CarriedJob[] = [];
    for (let i = 0; i < group.length; i += most) jobs.push(jobOf(group.slice(i, i + most)));
    return jobs;
  });
}

function jobOf(deliveries: readonly CarriedDelivery[]): CarriedJob {
  const [{ handler, ticket, priority }] = deliveries as [CarriedDelivery];
  return {
    name: handler,
    data: { handler, ids: deliveries.map(({ id }) => id) },
    opts: { jobId: ticket, priority: Math.min(MOST, Math.max(1, priority + SHIFT)) },
  };
}

/** Whether a job is one of these: others may write to the queue, too. */
export function isJobData(data: unknown): data is JobData {
  const { handler, ids } = (data ?? {}) as Partial<JobData>;
  return typeof handler === 'string' && Array.isArray(ids) && ids.every((id) => typeof id === 'string');
}
