import type { SparkService } from '../../spark.service.js';
import { onTables } from '../action.js';
import { commandOf } from '../command.js';

/** `spark sweep pause`: pauses the sweeps of a source in all processes. */
export const sweepPauseCommand = () =>
  pauseCommand('pause', 'Pauses the sweeps of a source, in all processes', (service, source) =>
    service.pauseSweep(source),
  );

/** `spark sweep resume`: ends that pause. */
export const sweepResumeCommand = () =>
  pauseCommand('resume', 'Ends the pause of a source', (service, source) => service.resumeSweep(source));

const pauseCommand = (
  act: 'pause' | 'resume',
  does: string,
  change: (service: SparkService, source: string) => Promise<void>,
) =>
  onTables(
    commandOf({ usage: `${act} <source>`, does, examples: [`sweep ${act} challenges`] }, (command) => command),
    async ({ service, output, args }) => {
      const source = args[0]!;
      await change(service, source);
      output.record({ source, paused: act === 'pause' }, () =>
        output.text(`The sweeps of ${source} are ${act === 'pause' ? 'paused' : 'no longer paused'}.`),
      );
    },
  );
