import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build, defaultServerConditions } from 'vite';

/** A program of several processes: a TypeScript file, made ready for Node.js. */
export interface Program {
  /** Starts it once; its arguments arrive as one JSON text. */
  start(input: object): Running;
  remove(): void;
}

export interface Running {
  readonly process: ChildProcess;
  /** What it sent by `process.send`, when it has ended well. Rejects when it has not. */
  readonly result: Promise<any>;
}

/** Bundles a program with the library's sources; packages stay outside. */
export async function program(file: string): Promise<Program> {
  // Below the project, so that packages are found.
  const out = mkdtempSync(join(resolve(import.meta.dirname, '../../node_modules'), '.spark-test-'));
  await build({
    configFile: false,
    logLevel: 'error',
    oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
    ssr: { noExternal: ['nestjs-spark'], resolve: { conditions: ['nestjs-spark/source', ...defaultServerConditions] } },
    build: {
      ssr: resolve(import.meta.dirname, file),
      outDir: out,
      rollupOptions: { output: { entryFileNames: 'main.mjs' } },
    },
  });
  return {
    start: (input) =>
      running(fork(join(out, 'main.mjs'), [JSON.stringify(input)], { cwd: tmpdir(), stdio: 'inherit' })),
    remove: () => rmSync(out, { recursive: true, force: true }),
  };
}

function running(process: ChildProcess): Running {
  const result = new Promise((fulfil, reject) => {
    let sent: unknown;
    process.on('message', (message) => (sent = message));
    process.on('exit', (code, signal) =>
      code === 0 ? fulfil(sent) : reject(new Error(`ended with ${code ?? signal}`)),
    );
  });
  return { process, result };
}
