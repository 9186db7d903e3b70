import { type ChildProcess, fork } from 'node:child_process';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { bundle } from '../../tools/bundle.mjs';

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

/** Bundles a program of this folder with the library's sources. */
export async function program(file: string): Promise<Program> {
  const { path, remove } = await bundle(resolve(import.meta.dirname, file), { isLinked: true });
  return {
    start: (input) => running(fork(path, [JSON.stringify(input)], { cwd: tmpdir(), stdio: 'inherit' })),
    remove,
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
