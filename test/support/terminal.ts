import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const exec = promisify(execFile);

/** How wide and high a terminal is, in characters. */
const SIZE = ['-x', '160', '-y', '50'];
const PROMPT = '$';

/** Whether terminals can be opened: tmux is installed. */
export const hasTerminal = (): Promise<boolean> =>
  exec('tmux', ['-V']).then(
    () => true,
    () => false,
  );

/** A real terminal with a shell in it, by tmux. */
export class Terminal {
  private readonly socket = `spark-${randomBytes(6).toString('hex')}`;

  private constructor() {}

  /** Opens a terminal in a folder. Its shell finds programs in `bin` first. */
  static async open(folder: string, bin: string): Promise<Terminal> {
    const terminal = new Terminal();
    const { NODE_OPTIONS: _, ...own } = process.env;
    const env = { ...own, PS1: `${PROMPT} `, PATH: `${bin}:${process.env.PATH}`, NO_COLOR: '1' };
    const shell = ['sh', '-i'];
    await exec(
      'tmux',
      ['-f', '/dev/null', '-L', terminal.socket, 'new-session', '-d', ...SIZE, '-c', folder, ...shell],
      {
        env,
      },
    );
    await terminal.screen(isAtPrompt);
    return terminal;
  }

  /** Types a command, and returns the lines that it has printed when it has ended. */
  async run(command: string): Promise<string[]> {
    await this.tmux('send-keys', 'clear', 'Enter');
    await this.screen(([first, ...rest]) => first === PROMPT && rest.every((line) => line === ''));
    await this.tmux('send-keys', '-l', command);
    await this.tmux('send-keys', 'Enter');
    const typed = `${PROMPT} ${command}`;
    const lines = await this.screen((all) => all[0] === typed && isAtPrompt(all));
    return lines.slice(
      1,
      lines.findLastIndex((line) => line === PROMPT),
    );
  }

  async close(): Promise<void> {
    await this.tmux('kill-server');
  }

  /** The lines of the screen, as soon as they are as expected. */
  private async screen(isExpected: (lines: readonly string[]) => boolean): Promise<string[]> {
    let lines: string[] = [];
    for (let i = 0; i < 600; i++) {
      lines = (await this.tmux('capture-pane', '-p', '-J')).split('\n').map((line) => line.trimEnd());
      if (isExpected(lines)) return lines;
      await delay(50);
    }
    throw new Error(`The terminal shows, after 30 s:\n${lines.join('\n')}`);
  }

  private async tmux(...args: string[]): Promise<string> {
    return (await exec('tmux', ['-L', this.socket, ...args])).stdout;
  }
}

/** Whether the last line is a prompt, so that the last command has ended. */
const isAtPrompt = (lines: readonly string[]): boolean => lines.findLast((line) => line !== '') === PROMPT;
