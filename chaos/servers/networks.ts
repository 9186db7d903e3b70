import { StallingProxy } from '../../test/support/stalling-proxy.js';
import type { Server } from './server.js';

/** What lies between each process and the database server: a proxy of its own, where there is a server. */
export class Networks {
  private readonly proxies = new Map<string, StallingProxy>();
  private readonly options = new Map<string, object>();

  static async before(server: Server, actors: readonly string[]): Promise<Networks> {
    const networks = new Networks();
    for (const actor of actors) await networks.lay(actor, server.optionsFor(actor));
    return networks;
  }

  /** Options of an actor's DataSource, that lead through its proxy. */
  optionsFor(actor: string): object {
    return this.options.get(actor)!;
  }

  /** The proxy of an actor; undefined where there is no server. */
  proxyOf(actor: string): StallingProxy | undefined {
    return this.proxies.get(actor);
  }

  async stop(): Promise<void> {
    for (const proxy of this.proxies.values()) await proxy.stop();
  }

  private async lay(actor: string, options: ReturnType<Server['optionsFor']>): Promise<void> {
    this.options.set(actor, options);
    if (options.url === undefined) return;
    // The port is in the URL.
    const { proxy, url } = await StallingProxy.start(options.url, 0);
    this.proxies.set(actor, proxy);
    this.options.set(actor, { ...options, url });
  }
}
