/**
 * What every error of this library extends.
 *
 * @example
 * catch (error) { if (error instanceof SparkError) … }
 */
export class SparkError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}
