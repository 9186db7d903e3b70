import type { DeliveryReport } from '../../common/delivery-report.js';
import { type Invocation, onWorkforce } from '../action.js';
import { commandOf } from '../command.js';
import { MisuseError } from '../command.error.js';
import { abortOf } from '../interrupt.js';
import type { Workforce } from '../target/session.js';

interface Options {
  readonly drain?: true;
}

type Working = Invocation<Options> & Workforce;

/** `spark work`: handles deliveries, until a signal or until nothing is due. */
export const workCommand = () =>
  onWorkforce<Options>(
    commandOf(
      {
        usage: 'work',
        does: 'Runs the application without HTTP: handles deliveries and rechecks, until SIGINT or SIGTERM',
        examples: ['work -m dist/app.module.js#AppModule', 'work --drain --json'],
      },
      (command) =>
        command
          .optionsGroup('How:')
          .option('--drain', 'handles what is due, and ends; nothing else of the application runs'),
    ),
    // What it handles must be known to the processes that record.
    (options) => (options.drain ? { registersSources: true, registersHandlers: true } : undefined),
    async (working) => (working.options.drain ? drain(working) : workUntilSignal(working)),
  );

// The longest interval of a timer, in milliseconds.
const LONGEST = 2 ** 31 - 1;

async function workUntilSignal({ services, output, signal }: Working): Promise<void> {
  // The application may be paused, or may have no timer of its own.
  const alive = setInterval(() => undefined, LONGEST);
  try {
    // Without effect, unless the option autoStart is false.
    for (const service of services) await service.start();
    if (!signal.aborted) await mustHandle(services);
    await abortOf(signal);
  } finally {
    clearInterval(alive);
  }
  output.note('Running handlers may end. A second signal ends the process at once.');
}

/** Throws MisuseError if this process would handle no deliveries. */
async function mustHandle(services: Workforce['services']): Promise<void> {
  for (const service of services) if ((await service.health()).lease !== 'none') return;
  throw new MisuseError(
    'This process would handle no deliveries: the application has no handlers, or SparkModule has `worker: false` here. ' +
      'Check what the option depends on, such as a variable of the environment.',
  );
}

type Counts = Record<'events' | 'completed' | 'failed' | 'discarded' | 'skipped', number>;

/** Throws the reason of the signal. */
async function drain({ services, output, progress, signal }: Working): Promise<void> {
  const counts: Counts = { events: 0, completed: 0, failed: 0, discarded: 0, skipped: 0 };
  const watching = services.flatMap((service) => [
    service.events$.subscribe(() => void counts.events++),
    service.deliveries$.subscribe(({ state }) => {
      counts[nameOf(state)]++;
      progress.show(counts.completed + counts.failed + counts.discarded + counts.skipped, 'deliveries');
    }),
  ]);
  try {
    for (const service of services) {
      signal.throwIfAborted();
      await Promise.race([service.drain(), abortOf(signal)]);
    }
    signal.throwIfAborted();
  } finally {
    for (const one of watching) one.unsubscribe();
    progress.end();
  }
  output.record(counts, () => output.details(counts));
}

const nameOf = (state: DeliveryReport['state']) => (state === 'available' ? 'failed' : state);
