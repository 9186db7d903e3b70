import type { Command } from 'commander';
import type { Rest } from '../common/rest.js';
import { MisuseError } from './command.error.js';
import { interruptible, patient, type Run } from './interrupt.js';
import { Output } from './output/output.js';
import { Progress } from './output/progress.js';
import type { Session, Workforce } from './target/session.js';
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

type Open<O, S> = (target: Awaited<ReturnType<typeof targetOf>>, invocation: Invocation<O>) => Promise<S>;

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
  return opening<O, Session>(command, action, (target, invocation) => {
    const { dataSource, module, prefers } = target;
    if (prefers === 'module') return boot(module!, target, { registersSources: false }, invocation);
    if (dataSource === undefined) throw missing('--data-source dist/data-source.js, or --module dist/app.module.js');
    return openFile(dataSource, target, arePrepared, invocation);
  });
}

/** Lets a command work with the sources and handlers of an application at rest. */
export function onApplication<O>(
  command: Command,
  restOf: (options: O) => Rest,
  action: Action<Connected<O>>,
): Command {
  return opening<O, Session>(command, action, (target, invocation) =>
    boot(moduleIn(target), target, restOf(invocation.options), invocation),
  );
}

/**
 * Lets a command do the work of an application. A signal ends it by a shutdown, which is waited for.
 *
 * @param restOf how the application rests, if the command does all of its work by calls; undefined if the application works by itself
 */
export function onWorkforce<O>(
  command: Command,
  restOf: (options: O) => Rest | undefined,
  action: Action<Invocation<O> & Workforce>,
): Command {
  const open: Open<O, Workforce> = (target, invocation) =>
    employ(moduleIn(target), target, restOf(invocation.options), invocation);
  return opening<O, Workforce>(command, action, open, patient);
}

/** Lets a command do work that opens what it needs by itself. */
export function onTarget<O>(command: Command, action: Action<Invocation<O> & { readonly target: Target }>): Command {
  return command.action(() =>
    invoked<O>(command, async (invocation) => action({ ...invocation, target: await targetOf(command) })),
  );
}

function opening<O, S extends { close(): Promise<void> }>(
  command: Command,
  action: Action<Invocation<O> & S & { readonly target: Target }>,
  open: Open<O, S>,
  run: Run = interruptible,
): Command {
  const opened: Action<Invocation<O>> = async (invocation) => {
    const target = await targetOf(command);
    const session = await open(target, invocation);
    try {
      return await action({ ...invocation, ...session, target });
    } finally {
      invocation.progress.end();
      await session.close();
    }
  };
  return command.action(() => invoked<O>(command, opened, run));
}

async function invoked<O>(command: Command, work: Action<Invocation<O>>, run: Run = interruptible): Promise<void> {
  const options = command.opts<{ json?: true }>();
  const { stdin, stdout, stderr } = process;
  const output = new Output({ stdin, stdout, stderr }, options.json === true);
  const invocation = { args: command.args, options: options as O, output, progress: new Progress(stderr) };
  const code = await run((signal) => work({ ...invocation, signal }));
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

/** The application itself works, so its log lines and its console stay as they are, unless stdout is for data. */
async function employ<O>(file: string, target: Target, rest: Rest | undefined, { output }: Invocation<O>) {
  const { redirectConsole, stderrLogger } = await import('./target/stderr-logger.js');
  const { bootWorkforce } = await import('./target/boot-application.js');
  if (!rest) return bootWorkforce(file, target, undefined, output.isJson ? 'json' : undefined);
  redirectConsole();
  return bootWorkforce(file, target, rest, stderrLogger(output));
}

function moduleIn({ module }: Target): string {
  if (module !== undefined) return module;
  throw missing('--module dist/app.module.js#AppModule. This command needs the sources or handlers of the application');
}

const missing = (what: string): MisuseError =>
  new MisuseError(`Say where Spark's tables are: ${what}. A spark.config file or the environment may say it, too.`);
