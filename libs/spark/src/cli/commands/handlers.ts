import type { SparkService } from '../../spark.service.js';
import { onTables } from '../action.js';
import { commandOf, groupOf } from '../command.js';
import { HANDLERS } from './status.js';

/** `spark handlers`: the handlers of all processes. */
export const handlersCommands = () =>
  groupOf('handlers', 'Handlers of all processes', [
    listCommand(),
    pauseCommand('pause', 'Keeps a handler from beginning further attempts, in all processes', (service, name) =>
      service.pauseHandler(name),
    ),
    pauseCommand('resume', 'Ends the pause of a handler', (service, name) => service.resumeHandler(name)),
  ]);

const listCommand = () =>
  onTables(
    commandOf(
      {
        usage: 'list',
        does: 'Counts the deliveries of each handler that are not completed',
        examples: ['handlers list'],
      },
      (command) => command,
    ),
    async ({ service, output }) => output.list(HANDLERS, await service.handlers(), 'No handlers.'),
  );

const pauseCommand = (
  act: 'pause' | 'resume',
  does: string,
  change: (service: SparkService, name: string) => Promise<void>,
) =>
  onTables(
    commandOf({ usage: `${act} <name>`, does, examples: [`handlers ${act} challenge-mails`] }, (command) => command),
    async ({ service, output, args }) => {
      const handler = args[0]!;
      await change(service, handler);
      output.record({ handler, paused: act === 'pause' }, () =>
        output.text(`${handler} is ${act === 'pause' ? 'paused' : 'no longer paused'}.`),
      );
    },
  );
