import { Argument, Command } from 'commander';
import { bashScript } from '../completion/bash.js';
import { completionsOf } from '../completion/completions.js';
import { zshScript } from '../completion/zsh.js';
import { Output } from '../output/output.js';

const SCRIPTS = { bash: bashScript, zsh: zshScript };

const EXAMPLES = `
Examples:
  source <(spark completion bash)
  spark completion zsh > ~/.zfunc/_spark`;

/** `spark completion`: the script with which a shell completes commands and options. */
export function completionCommand(): Command {
  const command = new Command('completion')
    .description('Prints a script with which a shell completes commands and options')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', EXAMPLES);
  return command.action((shell: keyof typeof SCRIPTS) => {
    const { stdin, stdout, stderr } = process;
    const output = new Output({ stdin, stdout, stderr }, false);
    output.text(SCRIPTS[shell](completionsOf(rootOf(command))));
  });
}

const rootOf = (command: Command): Command => (command.parent ? rootOf(command.parent) : command);
