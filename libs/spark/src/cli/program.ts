import { Command } from 'commander';
import { baselineCommand } from './commands/baseline.js';
import { completionCommand } from './commands/completion.js';
import { deliveriesCommands } from './commands/deliveries.js';
import { doctorCommand } from './commands/doctor.js';
import { eraseCommand } from './commands/erase.js';
import { eventsCommands } from './commands/events.js';
import { explainCommand } from './commands/explain.js';
import { forgetCommand } from './commands/forget.js';
import { handlersCommands } from './commands/handlers.js';
import { migrateCommands } from './commands/migrate.js';
import { planCommand } from './commands/plan.js';
import { pruneCommand } from './commands/prune.js';
import { rechecksCommands } from './commands/rechecks.js';
import { replayCommand } from './commands/replay.js';
import { sourcesCommands } from './commands/sources.js';
import { statusCommand } from './commands/status.js';
import { sweepCommand } from './commands/sweep.js';
import { workCommand } from './commands/work.js';
import { workersCommands } from './commands/workers.js';
import { printableLines } from './output/safe-text.js';
import { VERSION } from './version.js';

const AFTER = `
Settings come from flags, else from the environment (SPARK_DATA_SOURCE, SPARK_MODULE …), else from spark.config.js, .mjs, .cjs or .json.
Exit codes: 0 done, 1 failed or a check found something, 2 the call is wrong and nothing was changed, 130 interrupted.

Examples:
  spark status -d dist/data-source.js
  spark deliveries list --state discarded --json
  spark deliveries retry --handler challenge-mails --dry-run
  spark explain Challenge 7 -m dist/app.module.js#AppModule
  spark plan --check --max-new 1000`;

/** Creates the program `spark` with all its commands. */
export function createProgram(): Command {
  const program = new Command('spark')
    .description('Looks at what nestjs-spark does, repairs what failed, and does its work')
    .version(VERSION)
    // The options behind a command are those of the last command that is named.
    .enablePositionalOptions()
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
    explainCommand(),
    planCommand(),
    sweepCommand(),
    baselineCommand(),
    replayCommand(),
    forgetCommand(),
    eraseCommand(),
    workCommand(),
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
