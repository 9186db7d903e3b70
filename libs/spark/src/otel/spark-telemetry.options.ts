import { InvalidOptionsError } from '../index.js';

/** Options of SparkTelemetryModule. */
export interface SparkTelemetryOptions {
  /**
   * Whether the span of a handler is a child of the span that entered its event, in one trace with the change. Default: `false`. Then the
   * handler begins a trace of its own, with a link to that span. Children make one trace of all that follows from a change, and that
   * can be days and thousands of spans.
   */
  parent?: boolean;
}

/** Checks the options. Throws InvalidOptionsError. */
export function checkTelemetryOptions(options: SparkTelemetryOptions): void {
  const call = 'The argument of SparkTelemetryModule.forRoot';
  if (typeof options !== 'object' || options === null) throw new InvalidOptionsError(call, options, '{ parent }');
  const unknown = Object.keys(options).filter((name) => name !== 'parent');
  if (unknown.length > 0) throw new InvalidOptionsError(call, options, 'no other option than parent');
  const { parent } = options;
  if (parent !== undefined && typeof parent !== 'boolean')
    throw new InvalidOptionsError('parent of SparkTelemetryModule.forRoot', parent, 'true or false');
}
