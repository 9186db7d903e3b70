import { styleText } from 'node:util';
import { jsonLine, printableLines } from './safe-text.js';
import { type Cell, type Column, detailsOf, tableOf } from './table.js';

/** The streams of a command. */
export interface Streams {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/** What a command prints: data on stdout, as text for people or as JSON for machines, and all else on stderr. */
export class Output {
  constructor(
    readonly streams: Streams,
    /** Whether data are JSON, one object a line. */
    readonly isJson: boolean,
  ) {}

  /** Prints a list: a table, or each record as an object. `none` is said on stderr if there are no records. */
  list<R extends object>(columns: readonly Column<R>[], records: readonly R[], none: string): void {
    if (this.isJson) for (const record of records) this.data(jsonLine(record));
    else if (records.length > 0) for (const line of tableOf(columns, records, this.bold)) this.data(line);
    if (records.length === 0) this.note(none);
  }

  /** Prints one record: as JSON, or by `people`, which prints its parts. */
  record(record: object, people: () => void): void {
    if (this.isJson) this.data(jsonLine(record));
    else people();
  }

  /** Prints names and values for people. */
  details(details: Readonly<Record<string, Cell>>): void {
    for (const line of detailsOf(details)) this.data(line);
  }

  /** Prints a table for people, below a heading. Nothing without records. */
  section<R>(heading: string, columns: readonly Column<R>[], records: readonly R[]): void {
    if (records.length === 0) return;
    this.data(`\n${this.bold(heading)}`);
    for (const line of tableOf(columns, records, (head) => head)) this.data(line);
  }

  /** Prints lines of text for people. Characters that a terminal acts on are escaped. */
  text(text: string): void {
    this.data(printableLines(text));
  }

  /** Says something beside the data, on stderr. */
  note(text: string): void {
    const { stderr } = this.streams;
    // The progress may be on the line.
    stderr.write(`${stderr.isTTY ? '\r\x1b[K' : ''}${printableLines(text)}\n`);
  }

  private data(line: string): void {
    this.streams.stdout.write(`${line}\n`);
  }

  private readonly bold = (text: string): string =>
    this.streams.stdout.isTTY && !process.env.NO_COLOR ? styleText('bold', text, { validateStream: false }) : text;
}
