import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Stands before a database server. It can stop forwarding without closing anything, as a network that is gone does. */
export class StallingProxy {
  private readonly sockets = new Set<Socket>();
  private readonly stalled = new Set<Socket>();
  /** What happens to those that are stalled when they go on. */
  private readonly later: (() => void)[] = [];
  private isStalled = false;
  private text: string | undefined;
  private last: string | undefined;
  private end: string | undefined;

  private constructor(
    private readonly server: Server,
    private readonly target: URL,
  ) {
    server.on('connection', (client: Socket) => this.forward(client));
  }

  /** Starts one, and returns it with the URL that leads through it. Default of its own port: a free one. */
  static async start(url: string, usualPort: number, ownPort = 0): Promise<{ proxy: StallingProxy; url: string }> {
    const target = new URL(url);
    if (target.port === '') target.port = String(usualPort);
    const server = createServer().listen(ownPort, '127.0.0.1');
    await once(server, 'listening');
    const through = new URL(url);
    through.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
    return { proxy: new StallingProxy(server, target), url: through.href };
  }

  /** How many connections were made so far. */
  made = 0;

  /** Forwards nothing from now on, neither on those connections that there are nor, unless asked to, on new ones. */
  stall({ newOnes = true } = {}): void {
    this.isStalled = newOnes;
    for (const socket of this.sockets) {
      socket.pause();
      this.stalled.add(socket);
    }
  }

  /** Stalls the connections that there are when one of them wants to commit a transaction in which it has sent a text. */
  stallAtCommitAfter(text: string): void {
    this.text = text;
  }

  /** Stalls everything, new connections too, when a client sends a text. */
  stallAt(text: string): void {
    this.last = text;
  }

  /** Breaks off the connection of a client when that sends a text. */
  breakAt(text: string): void {
    this.end = text;
  }

  /** Forwards on new connections again. Those that were stalled stay silent for ever, as after a change of the route. */
  resume(): void {
    this.isStalled = false;
  }

  /** Forwards again, on those connections that were stalled as well: what was sent meanwhile arrives now. */
  goOn(): void {
    this.isStalled = false;
    const stalled = [...this.stalled];
    this.stalled.clear();
    for (const begin of this.later.splice(0)) begin();
    for (const socket of stalled) socket.resume();
  }

  /** Ends those connections that are stalled, and forwards on new ones again. */
  drop(): void {
    this.isStalled = false;
    this.later.length = 0;
    for (const socket of this.stalled) socket.destroy();
    this.stalled.clear();
  }

  /** Ends all of it. */
  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    const closed = once(this.server, 'close');
    this.server.close();
    await closed;
  }

  private forward(client: Socket): void {
    this.made++;
    this.watch(client);
    if (this.isStalled) {
      client.pause();
      this.stalled.add(client);
      this.later.push(() => this.join(client));
      return;
    }
    this.join(client);
  }

  private join(client: Socket): void {
    const server = connect(Number(this.target.port), this.target.hostname);
    this.watch(server);
    let hasSent = false;
    client.on('data', (data: Buffer) => {
      if (this.end !== undefined && data.includes(this.end)) {
        this.end = undefined;
        client.destroy();
        return;
      }
      if (this.last !== undefined && data.includes(this.last)) {
        this.last = undefined;
        this.stall();
        return;
      }
      if (this.text !== undefined && hasSent && data.includes('COMMIT')) {
        this.text = undefined;
        this.stall({ newOnes: false });
        return;
      }
      hasSent = this.text !== undefined && (data.includes(this.text) || (hasSent && !data.includes('ROLLBACK')));
      server.write(data);
    });
    server.on('data', (data) => void client.write(data));
    const end = (other: Socket) => () => {
      if (this.stalled.has(client)) this.later.push(() => other.end());
      else other.end();
    };
    client.on('end', end(server)).on('close', end(server));
    server.on('end', end(client)).on('close', end(client));
  }

  private watch(socket: Socket): void {
    this.sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
  }
}
