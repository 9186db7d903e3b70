import type { Command } from 'commander';
import type { Rest } from '../common/rest.js';
import { MisuseError } from './command.error.js';
import { interruptible } from './interrupt.js';
import { Output } from './output/output.js';
import { Progress } from './output/progress.js';
import type { Session } from './target/session.js';
import { type Target, targetOf } from './target/target.js';

/** What an action gets. */
export interface Invocation<O> {
  readonly args: readonly string[];
  readonly options: O;
  readonly output: Output;
  readonly progress: Progress;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** The work of a command. It returns the exit code, if that is not 0. */
export type Action<I> = (invocation: I) => Promise<number | void>;

/** An {@link Invocation} with an open connection. */
export interface Connected<O> extends Invocation<O>, Session {
  readonly target: Target;
}

type Opened<O> = (target: Awaited<ReturnType<typeof targetOf>>, invocation: Invocation<O>) => Promise<Session>;

/** Lets a command work on Spark's tables, by a data source file or an application at rest. */
export const onTables = <O>(command: Command, action: Action<Connected<O>>): Command =>
  onTablesOf(command, action, { arePrepared: true });

/** The same for tables that may be missing or old: a data source file is opened without a look at them, and nothing is set. */
export const onAnyTables = <O>(command: Command, action: Action<Connected<O>>): Command =>
  onTablesOf(command, action, { arePrepared: false });

function onTablesOf<O>(
  command: Command,
  action: Action<Connected<O>>,
  { arePrepared }: { readonly arePrepared: boolean },
): Command {
  return opening(command, action, (target, invocation) => {
    const { dataSource, module, prefers } = target;
    if (prefers === 'module') return boot(module!, target, { registersSources: false }, invocation);
    if (dataSource === undefined) throw missing('--data-source dist/data-source.js, or --module dist/app.module.js');
    return openFile(dataSource, target, arePrepared, invocation);
  });
}

/** Lets a command work with the sources and handlers of an application at rest. */
export function onApplication<O>(command: Command, rest: Rest, action: Action<Connected<O>>): Command {
  return opening(command, action, (target, invocation) => {
    if (target.module === undefined)
      throw missing(
        '--module dist/app.module.js#AppModule. This command needs the sources or handlers of the application',
      );
    return boot(target.module, target, rest, invocation);
  });
}

/** Lets a command do work that opens what it needs by itself. */
export function onTarget<O>(command: Command, action: Action<Invocation<O> & { readonly target: Target }>): Command {
  return command.action(() =>
    invoked<O>(command, async (invocation) => action({ ...invocation, target: await targetOf(command) })),
  );
}

function opening<O>(command: Command, action: Action<Connected<O>>, open: Opened<O>): Command {
  return command.action(() =>
    invoked<O>(command, async (invocation) => {
      const target = await targetOf(command);
      const session = await open(target, invocation);
      try {
        return await action({ ...invocation, ...session, target });
      } finally {
        invocation.progress.end();
        await session.close();
      }
    }),
  );
}

async function invoked<O>(command: Command, work: Action<Invocation<O>>): Promise<void> {
  const options = command.opts<{ json?: true }>();
  const { stdin, stdout, stderr } = process;
  const output = new Output({ stdin, stdout, stderr }, options.json === true);
  const invocation = { args: command.args, options: options as O, output, progress: new Progress(stderr) };
  const code = await interruptible((signal) => work({ ...invocation, signal }));
  if (typeof code === 'number') process.exitCode = code;
}

/** What opens a connection is loaded when it is needed: `--help` does not load TypeORM. */
async function openFile<O>(
  file: string,
  target: Target,
  isPrepared: boolean,
  { output }: Invocation<O>,
): Promise<Session> {
  const { redirectConsole, redirectLogs } = await import('./target/stderr-logger.js');
  redirectConsole();
  redirectLogs(output);
  const { openDataSource } = await import('./target/open-data-source.js');
  return openDataSource(file, target, isPrepared);
}

async function boot<O>(file: string, target: Target, rest: Rest, { output }: Invocation<O>): Promise<Session> {
  const { redirectConsole, stderrLogger } = await import('./target/stderr-logger.js');
  redirectConsole();
  const { bootApplication } = await import('./target/boot-application.js');
  return bootApplication(file, target, rest, stderrLogger(output));
}

const missing = (what: string): MisuseError =>
  new MisuseError(`Say where Spark's tables are: ${what}. A spark.config file or the environment may say it, too.`);
