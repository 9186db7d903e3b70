/** A TypeScript program with the library's sources in it, as one file that Node.js runs; packages stay outside. */
export interface Bundle {
  readonly path: string;
  remove(): void;
}

/** How a program finds packages. */
export interface Packages {
  /** Whether it loads those that take long from a few files, see `packages.mjs`. Default: false, from the packages themselves. */
  readonly isLinked?: boolean;
}

/** Makes a program ready. `file` is an absolute path. */
export function bundle(file: string, packages?: Packages): Promise<Bundle>;

/** A folder of an application that has installed the library, made of the library's sources. */
export interface InstalledFolder {
  readonly folder: string;
  /** The path of the program `spark`. */
  readonly bin: string;
  remove(): void;
}

/** Installs the library into a new folder. */
export function install(packages?: Packages): Promise<InstalledFolder>;

/** Installs parts of the library into a folder: files of `src`, without the extension. */
export function installInto(root: string, names: readonly string[]): Promise<void>;
