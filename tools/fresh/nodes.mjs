import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { mustRun } from './run.mjs';

const FOLDER = resolve(import.meta.dirname, '../../node_modules/.cache/spark-nodes');
const PLATFORM = process.platform === 'win32' ? 'win' : process.platform;

/**
 * Installs versions of Node.js from npm, where they are not yet. `current` is the one that runs this.
 *
 * @param versions such as `['20.19', '22', 'current']`
 * @returns the name of each, with its exact version, and its program
 */
export async function nodesOf(versions) {
  const wanted = versions.filter((version) => version !== 'current');
  if (wanted.length > 0) await install(wanted);
  const programs = versions.map((version) =>
    version === 'current' ? process.execPath : join(FOLDER, 'node_modules', `node-${version}`, 'bin/node'),
  );
  return Promise.all(
    programs.map(async (program) => ({
      program,
      name: `Node ${(await mustRun(program, ['-p', 'process.version'])).trim().slice(1)}`,
    })),
  );
}

async function install(versions) {
  mkdirSync(FOLDER, { recursive: true });
  const dependencies = Object.fromEntries(
    versions.map((version) => [`node-${version}`, `npm:node-${PLATFORM}-${process.arch}@${version}`]),
  );
  writeFileSync(join(FOLDER, 'package.json'), JSON.stringify({ private: true, dependencies }));
  await mustRun('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: FOLDER });
}
