import { HttpException, Logger } from '@nestjs/common';
import {
  InvalidOptionsError,
  NoSourceError,
  UnknownEntityError,
  UnknownHandlerError,
  UnknownHistoryError,
  UnknownSourceError,
} from 'nestjs-spark';
import { html } from '../html/html.js';
import { BadRequestError } from '../view/bad-request.error.js';
import { stackOf } from '../view/stack-of.js';
import type { Content, View } from '../view/view.js';

const logger = new Logger('Spark');

/** Errors about what the address asks for. Their messages say what is wrong with it. */
const OF_REQUEST = [
  BadRequestError,
  InvalidOptionsError,
  NoSourceError,
  UnknownEntityError,
  UnknownHandlerError,
  UnknownHistoryError,
  UnknownSourceError,
];

/** Says why there is no page. The reason for an error of the application or the database is only in the log. */
export function failed({ texts: { errors } }: Pick<View, 'texts'>, error: unknown): Content {
  if (isOfRequest(error))
    return {
      title: errors.badRequest,
      body: html`<p class="notice wrong" lang="en">${error.message}</p>`,
      status: 400,
    };
  // An interceptor of actions may refuse one.
  if (error instanceof HttpException && error.getStatus() === 403)
    return { title: errors.denied, body: html`<p class="notice wrong">${errors.actDenied}</p>`, status: 403 };
  logger.error('A page of the dashboard has failed.', stackOf(error));
  return { title: errors.failed, body: html`<p class="notice wrong">${errors.seeLog}</p>`, status: 500 };
}

/** An id that cannot be one of its entity is a TypeError that begins with the name of the method. */
function isOfRequest(error: unknown): error is Error {
  if (OF_REQUEST.some((type) => error instanceof type)) return true;
  return error instanceof TypeError && error.message.startsWith('SparkService.');
}
