import { Module } from '@nestjs/common';
import { type Settings, SETTINGS } from '../settings.js';
import { Outbox } from './outbox.js';
import { PostOffice } from './post-office.js';
import { Smtp } from './smtp.js';

/** Gives a {@link PostOffice}: the outbox folder, or the mail server where one is set. */
@Module({
  providers: [
    {
      provide: PostOffice,
      inject: [SETTINGS],
      useFactory: ({ smtpUrl, outbox }: Settings): PostOffice => (smtpUrl ? new Smtp(smtpUrl) : new Outbox(outbox)),
    },
  ],
  exports: [PostOffice],
})
export class MailModule {}
