/* oxlint-disable vitest/no-standalone-expect, vitest/valid-expect -- tests call these functions */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { formatWithOptions } from 'node:util';
import type { Provider, Type } from '@nestjs/common';
import { INJECTABLE_WATERMARK } from '@nestjs/common/constants.js';
import type { SparkModuleOptions } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { getMetadataArgsStorage } from 'typeorm';
import { expect } from 'vitest';
import { type Example, writeExamples } from '../../tools/docs/examples.mjs';
import { startApp, type TestApp } from './app.js';
import type { TestDatabase } from './databases.js';

const ROOT = resolve(import.meta.dirname, '../..');

export interface FollowedPageOptions {
  readonly database: TestDatabase;
  /** When the page begins: ISO text. */
  readonly now: string;
  /** Options of the SparkModule. */
  readonly spark?: SparkModuleOptions;
  /** More providers, of which the page only says that the reader has them. */
  readonly providers?: readonly Provider[];
}

type Exports = Record<string, any>;

/** A line that is printed, and when. */
interface Line {
  readonly text: string;
  readonly at: number;
}

/**
 * A page of the documents, followed to the letter: its examples are run as they stand, in their order, in one application with one
 * database. An example with providers is deployed: the application starts again, with these providers, too. Any other example is a
 * step, which runs when it is loaded. It gets `kit`, `spark` and `manager` from `./story.js`.
 */
export class FollowedPage {
  private readonly providers: Provider[];
  private readonly entities = new Set<Type>();
  private running: TestApp | undefined;

  private constructor(
    private readonly path: string,
    private readonly folder: string,
    readonly examples: readonly Example[],
    /** What `tools/docs/application.ts` exports: its entities, also for a test that fills tables before the page begins. */
    readonly application: Exports,
    private readonly clock: TestClock,
    private readonly options: FollowedPageOptions,
  ) {
    this.providers = [{ provide: TestClock, useValue: clock }, ...(options.providers ?? [])];
  }

  /** @param name the page in `docs/`, without `.md` */
  static async open(name: string, options: FollowedPageOptions): Promise<FollowedPage> {
    const path = `docs/${name}.md`;
    // Vitest does not transform what is in node_modules.
    const folder = await mkdtemp(join(ROOT, 'test/.followed-'));
    const examples = writeExamples(folder, await readFile(join(ROOT, path), 'utf8'), name);
    const application: Exports = await import(join(folder, 'application.ts'));
    const page = new FollowedPage(path, folder, examples, application, new TestClock(options.now), options);
    await page.deploy(application);
    return page;
  }

  /** Runs all examples, and compares what each prints with what the page shows. */
  async follow(): Promise<void> {
    for (const example of this.examples) {
      const known = this.providers.length;
      const printed = await this.linesOf(() => this.run(example));
      // What is shown in a provider is what its methods print.
      const shown = [...(this.providers.length > known ? [] : shownIn(example)), ...example.output];
      const texts = printed.map(({ text }) => text);
      expect(inOrder(texts, printed), `${this.path}:${example.line}`).toEqual(inOrder(shown, printed).map(asShown));
    }
  }

  /** Runs one example. Returns what it exports. */
  async run(example: Example): Promise<Exports> {
    const exports: Exports = await import(example.file);
    const injectables = classesOf(exports).filter((one) => Reflect.hasMetadata(INJECTABLE_WATERMARK, one));
    if (injectables.length > 0) {
      this.providers.push(...injectables);
      await this.deploy(exports);
    }
    return exports;
  }

  /** The lines that work prints with `console.log`. A value is one line. */
  async printedBy(work: () => unknown): Promise<string[]> {
    return (await this.linesOf(work)).map(({ text }) => text);
  }

  /** The lines that the page shows in comments after `console.log` in an example, as `toEqual` takes them. */
  shownIn(example: Example): unknown[] {
    return shownIn(example).map(asShown);
  }

  /** The application as far as the page has been followed. */
  get app(): TestApp {
    return this.running!;
  }

  async close(): Promise<void> {
    await this.running?.close();
    await rm(this.folder, { recursive: true });
  }

  private async linesOf(work: () => unknown): Promise<Line[]> {
    const lines: Line[] = [];
    const { log } = console;
    console.log = (...values) => {
      const texts = formatWithOptions({ breakLength: Infinity, compact: true }, ...values).split('\n');
      lines.push(...texts.map((text) => ({ text, at: this.clock.now() })));
    };
    try {
      await work();
    } finally {
      console.log = log;
    }
    return lines;
  }

  private async deploy(exports: Exports): Promise<void> {
    const entities = new Set(getMetadataArgsStorage().tables.map(({ target }) => target));
    for (const one of classesOf(exports)) if (entities.has(one)) this.entities.add(one);
    await this.running?.close();
    const { database, spark } = this.options;
    const { clock, providers } = this;
    this.running = await startApp({ database, entities: [...this.entities], providers, clock, spark });
    const { app, dataSource } = this.running;
    this.application.goOnWith({ kit: new SparkTestKit(app), spark: this.running.spark, manager: dataSource.manager });
  }
}

const classesOf = (exports: Exports): Type[] => Object.values(exports).filter((one) => typeof one === 'function');

const shownIn = ({ code }: Example): string[] =>
  [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, shown]) => shown!);

/** Texts in the order of their times, which are those of the printed lines. Handlers run side by side, so those of one instant have no order. */
const inOrder = (texts: readonly string[], printed: readonly Line[]): string[] =>
  texts
    .map((text, i) => ({ text, at: printed[i]?.at ?? Infinity }))
    .toSorted((one, other) => one.at - other.at || (one.text < other.text ? -1 : 1))
    .map(({ text }) => text);

/** A line that a page shows, as `toEqual` takes it. `…` stands for anything. */
function asShown(line: string): unknown {
  if (!line.includes('…')) return line;
  const parts = line.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return expect.stringMatching(new RegExp(`^${parts.join('.*')}$`));
}
