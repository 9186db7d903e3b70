import { Controller, Get, Redirect } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';

/** Redirects to the page that explains the API. */
@ApiExcludeController()
@Controller()
export class HomeController {
  @Get()
  @Redirect('/api')
  home(): void {}
}
