/** The limits with which alerts and health checks begin. Durations are texts. */
export const HEALTH_LIMITS = {
  backlog: '15m',
  discarded: 0,
  discardedWithin: '1h',
  orphans: 0,
  held: '1h',
  sweepStalled: '30m',
  sweepOverdue: '1h',
  missed: 0,
  missedWithin: '1d',
} as const;

/** What to do about a figure that is above its limit, in words for a person. */
export const ADVICE = {
  /** @param workers how many processes have a lease */
  backlog: (workers: number): string =>
    workers === 0
      ? 'No process has a lease, so nothing is handled. Start a process whose worker is on, or call SparkService.start() if it is paused.'
      : 'The workers do not keep up or are paused, or their handlers fail or hang. Look at SparkService.errors() and status().running, ' +
        'add processes, or raise worker.concurrency.',
  discarded: `Read the errors: SparkService.errors({ state: 'discarded' }). Mend the cause, then call retry({ handler }).`,
  orphans:
    'Deploy the handler again, name it among the aliases of its successor, or call SparkService.discard({ handler }).',
  held: 'Call SparkService.release(group) or discard(group).',
  sweepStalled:
    'Look in the log for a source that hangs or fails. If no process sweeps, call SparkService.sweep(), which continues the sweep. ' +
    'pauseSweep(source) says that it shall wait.',
  sweepOverdue: 'Check that a process with this schedule runs and is not paused, or call SparkService.sweep().',
  missed: 'Something writes without TypeORM, or a source has changed: the log says more.',
  rechecks:
    'Check that a process with the sources of this entity runs and is not paused, and look in the log for a source that hangs or fails.',
  lease:
    'It takes a lease by itself as soon as it can. If this lasts, the log says why: check the connection to the database, and whether ' +
    'handlers block the event loop.',
} as const;
