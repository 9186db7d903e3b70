/** A request that makes no sense. Its message is shown. */
export class BadRequestError extends Error {}
