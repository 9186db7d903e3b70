import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { shown } from '../../error/text-of.js';
import { MisuseError } from '../command.error.js';
import { loadFile } from './load-file.js';

/** Which DataSource or application a command works on. */
export interface Target {
  /** The file that exports a DataSource. */
  readonly dataSource?: string;
  /** The file and the name of the application's module: `dist/app.module.js#AppModule`. */
  readonly module?: string;
  /** The name of the DataSource, if the application has several SparkModules. */
  readonly name?: string;
  readonly tablePrefix?: string;
  readonly schema?: string;
}

const KEYS = ['dataSource', 'module', 'name', 'tablePrefix', 'schema'] as const;
type Key = (typeof KEYS)[number];

/** Where commander says that a value comes from, the strongest first. It does not know the config file. */
const LEVELS: readonly (string | undefined)[] = ['cli', 'env', undefined];

/** The files that are looked for in the working directory. */
const CONFIG_FILES = ['spark.config.js', 'spark.config.mjs', 'spark.config.cjs', 'spark.config.json'];

/** Adds the options that say where Spark's tables are. */
export function addTargetOptions(command: Command): Command {
  const option = (flags: string, text: string, variable: string) =>
    command.addOption(new Option(flags, text).env(variable));
  command.optionsGroup('Where:');
  option('-d, --data-source <file>', 'a file that exports a TypeORM DataSource', 'SPARK_DATA_SOURCE');
  option('-m, --module <file#Export>', 'the module of the application, which is booted at rest', 'SPARK_MODULE');
  option('-n, --name <name>', 'the DataSource, if the application has several SparkModules', 'SPARK_NAME');
  option('--table-prefix <prefix>', 'the tablePrefix of the SparkModule, with --data-source', 'SPARK_TABLE_PREFIX');
  option('--schema <schema>', 'the schema of the SparkModule, with --data-source', 'SPARK_SCHEMA');
  option('-c, --config <file>', 'a file with these settings, in place of spark.config.*', 'SPARK_CONFIG');
  return command
    .optionsGroup('Output:')
    .option('--json', 'JSON, one object a line')
    .option('--stack', 'errors with their stacks');
}

/** Reads where Spark's tables are: from flags, else from the environment, else from the config file. Throws MisuseError. */
export async function targetOf(command: Command): Promise<Target & { readonly prefers: 'dataSource' | 'module' }> {
  const given = command.opts<Partial<Record<Key | 'config', string>>>();
  const config = await configOf(given.config);
  const target = Object.fromEntries(
    KEYS.map((key) => [key, given[key] ?? config[key]]).filter(([, value]) => value !== undefined),
  ) as Target;
  const rank = (key: Key) => LEVELS.indexOf(command.getOptionValueSource(key));
  const isModuleFirst =
    target.module !== undefined && (target.dataSource === undefined || rank('module') < rank('dataSource'));
  return { ...target, prefers: isModuleFirst ? 'module' : 'dataSource' };
}

async function configOf(file: string | undefined): Promise<Partial<Record<Key, string>>> {
  const found = file ?? CONFIG_FILES.find((name) => existsSync(join(process.cwd(), name)));
  if (found === undefined) return {};
  const { path, exports } = await loadFile(found, 'config');
  const config = exports.default;
  if (typeof config !== 'object' || config === null)
    throw new MisuseError(`${shown(path)} has no object as its default export.`);
  for (const [key, value] of Object.entries(config)) {
    if (!(KEYS as readonly string[]).includes(key))
      throw new MisuseError(`${shown(path)} has an unknown setting ${shown(key)}. Known ones: ${KEYS.join(', ')}.`);
    if (typeof value !== 'string') throw new MisuseError(`${key} in ${shown(path)} must be text.`);
  }
  return withPaths(config, dirname(path));
}

/** Paths in the file are relative to the file. */
function withPaths(config: Partial<Record<Key, string>>, folder: string): Partial<Record<Key, string>> {
  const paths = (['dataSource', 'module'] as const).flatMap((key) => {
    const path = config[key];
    return path === undefined ? [] : [[key, resolve(folder, path)]];
  });
  return { ...config, ...Object.fromEntries(paths) };
}
