import { FewValues, OTHER } from './few-values.js';

const CLASS_NAME = /^[\p{L}_$][\p{L}\p{N}_$]{0,79}$/u;
const MOST = 50;

/** Says of what type an error is: the name of its class. What is no error, or has a class without a name, is `_OTHER`. */
export class ErrorTypes {
  private readonly names = new FewValues(MOST);

  of(error: unknown): string {
    const name: unknown = error instanceof Error ? error.constructor.name : undefined;
    return typeof name === 'string' && CLASS_NAME.test(name) ? this.names.of(name) : OTHER;
  }
}
