import { Logger } from '@nestjs/common';
import type { SparkService } from 'nestjs-spark';
import { isAccess, Permission } from '../access/permission.js';
import { headerOf, isSameOrigin } from '../access/same-origin.js';
import { LivePages, versionOf } from '../live/live-pages.js';
import type { DashboardSettings } from '../options/settings.js';
import { act, type Outcome } from '../pages/act.page.js';
import { closed, crossOrigin, refused } from '../pages/closed.page.js';
import { failed } from '../pages/failed.page.js';
import { notFound } from '../pages/not-found.page.js';
import { LIVE, PAGES } from '../pages/pages.js';
import { textsFor } from '../texts/language.js';
import { Format } from '../view/format.js';
import { type Frame, layout, layoutParts, mainOf } from '../view/layout.js';
import { Query } from '../view/query.js';
import type { SweepWatch } from '../view/sweep-watch.js';
import { BadRequestError } from '../view/bad-request.error.js';
import type { Page, View } from '../view/view.js';
import { type Content, Work } from '../view/work.js';
import { LiveAnswers } from './live-answers.js';
import { canonicalOf, type Place, placeOf } from './place.js';
import type { Responder } from './responder.js';
import { answerWork } from './stream.js';

/** Answers all requests of one dashboard. */
export class Dashboard {
  private readonly logger = new Logger('Spark');
  private readonly ending = new AbortController();
  private readonly livePages: LivePages;
  private readonly live: LiveAnswers;

  constructor(
    private readonly settings: DashboardSettings,
    private readonly spark: () => SparkService,
    private readonly sweeps: SweepWatch,
    private readonly responder: Responder,
  ) {
    this.livePages = new LivePages(spark);
    this.live = new LiveAnswers(this.livePages, responder);
  }

  /** Answers a GET: a page, what belongs to all pages, or updates of one. */
  async read(request: unknown, response: unknown): Promise<void> {
    const place = placeOf(this.responder.addressOf(request), request);
    const { page } = place;
    if (page === 'style.css') return this.responder.stylesheet(response);
    if (page === 'script.js') return this.responder.script(response);
    const canonical = canonicalOf(place, PAGES);
    if (canonical !== undefined) return this.responder.redirect(response, canonical, 307);
    const view = await this.viewOf(request, place);
    if (page === 'live') return this.update(request, response, view);
    if (!view.permission.mayRead) return this.show(response, view, page, this.closedTo(view));
    const read = PAGES.get(page);
    const content = read ? await this.safely(view, () => read(view)) : notFound(view, view.texts.errors.noPage);
    if (content instanceof Work) return this.perform(response, view, page, content);
    this.show(response, view, page, content);
  }

  /** Answers a POST: an action. */
  async write(request: unknown, response: unknown): Promise<void> {
    const place = placeOf(this.responder.addressOf(request), request);
    const view = await this.viewOf(request, place);
    if (!view.permission.mayRead) return this.show(response, view, 'act', this.closedTo(view));
    if (!isSameOrigin(request)) return this.show(response, view, 'act', crossOrigin(view));
    if (place.page !== 'act') return this.show(response, view, 'act', notFound(view, view.texts.errors.noPage));
    const outcome = await this.safely(view, () => act(view));
    if ('to' in outcome) return this.responder.redirect(response, outcome.to, 303);
    if (outcome instanceof Work) return this.perform(response, view, 'act', outcome);
    this.show(response, view, 'act', outcome);
  }

  /** Ends updates and work, so that the application can stop. */
  end(): void {
    this.ending.abort(new Error('The application stops.'));
    this.live.end();
    this.livePages.end();
  }

  private async viewOf(request: unknown, { search }: Place): Promise<View> {
    const { settings, sweeps } = this;
    const spark = this.spark();
    const texts = textsFor(headerOf(request, 'accept-language'));
    const query = new Query(new URLSearchParams(search));
    const permission = await this.permissionOf(request);
    return { settings, spark, sweeps, request, texts, query, permission, format: new Format(texts.language) };
  }

  private async permissionOf(request: unknown): Promise<Permission> {
    const granted = (await this.settings.access?.(request)) ?? false;
    if (!isAccess(granted))
      this.logger.error(
        `The option access of SparkDashboardModule has returned ${JSON.stringify(granted)}, so the request is refused. ` +
          `Return 'all', 'read', a list of actions, or false.`,
      );
    return new Permission(isAccess(granted) && granted);
  }

  private closedTo(view: View): Content {
    return this.settings.access === undefined ? closed(view) : refused(view);
  }

  private async safely<T extends Outcome>(view: View, work: () => Promise<T>): Promise<T | Content> {
    try {
      return await work();
    } catch (error) {
      return failed(view, error);
    }
  }

  /** Answers with updates of the page whose address is in `of`. */
  private async update(request: unknown, response: unknown, view: View): Promise<void> {
    const { permission, query, texts } = view;
    if (!permission.mayRead) return this.responder.snapshot(response, undefined, 403);
    try {
      const [, page = '', search = ''] = /^([^?]*)(\?.*)?$/s.exec(query.text('of') ?? '')!;
      const read = LIVE.get(page);
      if (!read) return this.responder.snapshot(response, undefined, 404);
      const own = { ...view, query: new Query(new URLSearchParams(search)) };
      const render = async (spark: SparkService) => rendered(read, { ...own, spark });
      const variant = `${texts.language} ${permission.name}`;
      return await this.live.answer(request, response, query, { address: page + search, variant, render });
    } catch (error) {
      if (!(error instanceof BadRequestError)) throw error;
      this.responder.snapshot(response, undefined, 400);
    }
  }

  private show(response: unknown, view: View, page: string, content: Content): void {
    const { title, body, status = 200 } = content;
    const version = LIVE.has(page) && status === 200 ? versionOf(mainOf(title, body).text) : undefined;
    this.responder.page(response, layout(this.frameOf(view, page, version), title, body), status, view.texts.language);
  }

  private perform(response: unknown, view: View, page: string, work: Work): Promise<void> {
    const answer = {
      whole: (content: Content) => this.show(response, view, page, content),
      begin: () => this.responder.pageStream(response, view.texts.language),
      frame: layoutParts(this.frameOf(view, page), work.title),
      onLeft: (left: () => void) => this.responder.onClose(response, left),
      failed: (error: unknown) => failed(view, error),
    };
    return answerWork(work, answer, this.ending.signal);
  }

  private frameOf({ texts, permission }: View, page: string, version?: string): Frame {
    const { title, environment } = this.settings;
    return { texts, title, environment, current: page === '' ? './' : page, mayRead: permission.mayRead, version };
  }
}

async function rendered(read: Page, view: View): Promise<string> {
  const content = await read(view);
  if (content instanceof Work) throw new TypeError('A page that is kept up to date takes no work.');
  return mainOf(content.title, content.body).text;
}
