import type { Command, Option } from 'commander';

/** A word that is proposed. */
export interface Word {
  readonly name: string;
  /** What it does, in a sentence; empty if nothing is to be said. */
  readonly does: string;
}

/** What is proposed after the names of some commands. */
export interface Place {
  /** The names, each after a slash: `/events/list`. Empty after the program alone. */
  readonly path: string;
  /** Further commands, or values of an argument. */
  readonly words: readonly Word[];
  readonly options: readonly Word[];
}

/** What a shell proposes for a program. */
export interface Completions {
  readonly program: string;
  readonly places: readonly Place[];
  /** Options that a file follows. */
  readonly beforeFiles: readonly string[];
  /** Options that another value follows, for which nothing is proposed. */
  readonly beforeValues: readonly string[];
}

/** What a shell proposes for a program, from its commands and their options. */
export function completionsOf(program: Command): Completions {
  const options = withAll(program).flatMap((command) => command.options.filter(({ required }) => required));
  const isFile = ({ flags }: Option) => flags.includes('<file');
  return {
    program: program.name(),
    places: placesOf(program, ''),
    beforeFiles: namesOf(options.filter(isFile)),
    beforeValues: namesOf(options.filter((option) => !isFile(option))),
  };
}

function placesOf(command: Command, path: string): Place[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((one) => one.name() !== 'help');
  const values = command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices);
  const words = [
    ...commands.map((one) => ({ name: one.name(), does: one.description() })),
    ...values.map((name) => ({ name, does: '' })),
  ];
  const options = help.visibleOptions(command).map(({ long, short, description }) => ({
    name: long ?? short!,
    does: description,
  }));
  return [{ path, words, options }, ...commands.flatMap((one) => placesOf(one, `${path}/${one.name()}`))];
}

const withAll = (command: Command): Command[] => [command, ...command.commands.flatMap(withAll)];

const namesOf = (options: readonly Option[]): string[] => [
  ...new Set(options.flatMap(({ short, long }) => [short, long]).filter((name) => name !== undefined)),
];
