import { Command } from 'commander';
import { addTargetOptions } from './target/target.js';

/** The description of a command. */
export interface Described {
  /** Its name and arguments: `show <key>`. */
  readonly usage: string;
  /** What it does, in one sentence without a full stop. */
  readonly does: string;
  /** Calls that help shows, without `spark`. */
  readonly examples: readonly string[];
}

/** Creates a command that works on a target. */
export function commandOf({ usage, does, examples }: Described, add: (command: Command) => Command): Command {
  const [name, ...parts] = usage.split(' ');
  const command = new Command(name).description(does);
  for (const part of parts) command.argument(part);
  addTargetOptions(add(command));
  const lines = examples.map((example) => `  spark ${example}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${lines}`);
}

/** Creates a command that has others. */
export function groupOf(name: string, does: string, commands: readonly Command[]): Command {
  const group = new Command(name).description(does);
  for (const command of commands) group.addCommand(command);
  return group;
}
