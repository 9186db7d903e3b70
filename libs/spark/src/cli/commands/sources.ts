import { onTables } from '../action.js';
import { commandOf, groupOf } from '../command.js';
import { SOURCES } from './status.js';

/** `spark sources`: the sources of all processes. */
export const sourcesCommands = () => groupOf('sources', 'Sources, and their sweeps', [listCommand()]);

const listCommand = () =>
  onTables(
    commandOf(
      {
        usage: 'list',
        does: 'Lists sources: when the last sweep of each ended, and what sweeps have found',
        examples: ['sources list', 'sources list -m dist/app.module.js#AppModule --json'],
      },
      (command) => command,
    ),
    async ({ service, output }) => output.list(SOURCES, await service.sources(), 'No source was swept.'),
  );
