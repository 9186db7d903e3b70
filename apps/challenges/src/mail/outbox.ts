import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { createTransport } from 'nodemailer';
import { type Letter, messageOf, PostOffice } from './post-office.js';

/** Writes letters to `.eml` files, which every mail program opens. Sending one twice writes one file. */
export class Outbox extends PostOffice {
  private readonly logger = new Logger('Mail');
  private readonly transport = createTransport({ streamTransport: true, buffer: true });

  constructor(private readonly folder: string) {
    super();
  }

  async send(letter: Letter): Promise<void> {
    const { message } = await this.transport.sendMail(messageOf(letter));
    const file = `${encodeURIComponent(letter.key)}.eml`;
    // Each time, since the folder may be removed to begin anew.
    await mkdir(this.folder, { recursive: true });
    await writeFile(join(this.folder, file), message);
    this.logger.log(`${file} to ${letter.to}: ${letter.subject}`);
  }
}
