/** A TypeScript program with the library's sources in it, as one file that Node.js runs; packages stay outside. */
export interface Bundle {
  readonly path: string;
  remove(): void;
}

/** Makes a program ready. `file` is an absolute path. */
export function bundle(file: string): Promise<Bundle>;
