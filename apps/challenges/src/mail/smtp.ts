import { Logger } from '@nestjs/common';
import { createTransport } from 'nodemailer';
import { type Letter, messageOf, PostOffice } from './post-office.js';

/** Sends letters through a mail server. */
export class Smtp extends PostOffice {
  private readonly logger = new Logger('Mail');
  private readonly transport;

  constructor(url: string) {
    super();
    this.transport = createTransport(url);
  }

  async send(letter: Letter): Promise<void> {
    await this.transport.sendMail(messageOf(letter));
    this.logger.log(`${letter.key} sent to ${letter.to}: ${letter.subject}`);
  }
}
