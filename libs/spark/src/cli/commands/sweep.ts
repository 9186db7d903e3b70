import type { Command } from 'commander';
import type { DataSource } from 'typeorm';
import type { SweepCallOptions } from '../../runtime/sweep.arguments.js';
import { onApplication } from '../action.js';
import { entityNamed, idOf } from '../arguments/filters.js';
import { commandOf } from '../command.js';
import { MisuseError } from '../command.error.js';
import { EXIT } from '../exit-codes.js';
import {
  addSpeedOptions,
  isWhole,
  noteRest,
  printReport,
  speedOf,
  type SpeedOptions,
  watched,
} from './sweep-output.js';
import { sweepPauseCommand, sweepResumeCommand } from './sweep-pause.js';

interface Options extends SpeedOptions {
  readonly entity?: string;
  readonly source?: string;
  readonly full?: true;
  readonly ids?: readonly string[];
  readonly from?: string;
  readonly to?: string;
}

/** `spark sweep`: enters the events that are missing. It has commands of its own, which pause and resume the sweeps of a source. */
export const sweepCommand = () =>
  onApplication<Options>(
    commandOf(
      {
        usage: 'sweep',
        does: 'Runs the sources on all entities, and enters the events that are missing. plan --summary says before what it will do',
        examples: ['sweep', 'sweep --source challenges --rate 500', 'sweep --entity Challenge --ids 7 12'],
      },
      addOptions,
    )
      .enablePositionalOptions()
      .hook('preAction', (command) => checkOptions(command.opts<Options>()))
      .addCommand(sweepPauseCommand())
      .addCommand(sweepResumeCommand()),
    () => ({ registersSources: true }),
    async (invocation) => {
      const { service, dataSource, output, options, signal } = invocation;
      const { ids, from, to } = options;
      const isPart = (ids ?? from ?? to) !== undefined;
      const report = await watched(
        invocation,
        () => service.sweep({ ...whichOf(options, dataSource), ...speedOf(options), signal }),
        isPart
          ? 'What it has found stays. Call it again to sweep the rest.'
          : 'What it has found stays. The next sweep goes on from there.',
      );
      printReport(output, report);
      noteRest(output, report);
      return isWhole(report) ? EXIT.done : EXIT.failed;
    },
  );

const addOptions = (command: Command): Command =>
  addSpeedOptions(
    command
      .optionsGroup('Which:')
      .option('--entity <class>', 'only the sources of this entity class')
      .option('--source <name>', 'only this source')
      .option('--ids <ids...>', 'only the entities with these ids; needs --entity')
      .option('--from <id>', 'only from this id on; needs --entity')
      .option('--to <id>', 'only up to this id; needs --entity')
      .option('--full', 'reads all rows, also where only changed ones need it'),
  );

function checkOptions({ entity, ids, from, to }: Options): void {
  if ((ids ?? from ?? to) !== undefined && entity === undefined)
    throw new MisuseError('--ids, --from and --to need the --entity of the ids.');
  if (ids !== undefined && (from ?? to) !== undefined) throw new MisuseError('Give either --ids, or --from and --to.');
}

function whichOf({ entity: name, source, full, ids, from, to }: Options, dataSource: DataSource): SweepCallOptions {
  const entity = name === undefined ? undefined : entityNamed(dataSource, name);
  const id = (text: string) => idOf(dataSource, entity!, text);
  return {
    ...(entity === undefined ? {} : { entity }),
    ...(source === undefined ? {} : { source }),
    ...(full ? { full } : {}),
    ...(ids === undefined ? {} : { ids: ids.map(id) }),
    ...(from === undefined ? {} : { from: id(from) }),
    ...(to === undefined ? {} : { to: id(to) }),
  };
}
