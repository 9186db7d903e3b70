import { Command } from 'commander';
import { completionCommand } from './commands/completion.js';
import { deliveriesCommands } from './commands/deliveries.js';
import { doctorCommand } from './commands/doctor.js';
import { eventsCommands } from './commands/events.js';
import { handlersCommands } from './commands/handlers.js';
import { migrateCommands } from './commands/migrate.js';
import { pruneCommand } from './commands/prune.js';
import { rechecksCommands } from './commands/rechecks.js';
import { sourcesCommands } from './commands/sources.js';
import { statusCommand } from './commands/status.js';
import { workersCommands } from './commands/workers.js';
import { printableLines } from './output/safe-text.js';
import { VERSION } from './version.js';

const AFTER = `
Settings come from flags, else from the environment (SPARK_DATA_SOURCE, SPARK_MODULE …), else from spark.config.js, .mjs, .cjs or .json.
Exit codes: 0 done, 1 failed or a check found something, 2 the call is wrong and nothing was changed, 130 interrupted.

Examples:
  spark status -d dist/data-source.js
  spark deliveries list --state discarded --json
  spark deliveries retry --handler challenge-mails --dry-run`;

/** Creates the program `spark` with all its commands. */
export function createProgram(): Command {
  const program = new Command('spark')
    .description('Looks at the tables of nestjs-spark, and repairs what failed')
    .version(VERSION)
    .addHelpText('after', AFTER);
  const commands = [
    statusCommand(),
    doctorCommand(),
    eventsCommands(),
    deliveriesCommands(),
    handlersCommands(),
    rechecksCommands(),
    sourcesCommands(),
    workersCommands(),
    pruneCommand(),
    migrateCommands(),
    completionCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  for (const command of withAll(program))
    command
      .exitOverride()
      .configureOutput({ writeErr: (text) => process.stderr.write(printableLines(text)) })
      .showHelpAfterError('(--help shows the options)');
  return program;
}

function withAll(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withAll)];
}
