"""Tells of the end of a run by electronic mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from loads.errors import UsageError
from loads.metrics.summary import RunView
from loads.observers.base import TIMEOUT, ObserverOption, details, headline, port_number

if TYPE_CHECKING:
    import smtplib
    import ssl

MODES = ("auto", "starttls", "ssl", "no")


class EmailObserver:
    """Sends one mail through an SMTP server.

    ``tls`` is ``auto`` (STARTTLS where the server offers it), ``starttls``, ``ssl`` or ``no``.
    A password is never sent without TLS, unless ``tls`` is ``no``.
    """

    options: ClassVar[tuple[ObserverOption, ...]] = (
        ObserverOption("recipient", "", "who gets the mail; several with commas"),
        ObserverOption("sender", "loads@localhost", "whom it is from"),
        ObserverOption("host", "localhost", "the SMTP server, as the broker sees it"),
        ObserverOption("port", "25", "its port"),
        ObserverOption("user", "", "who logs in"),
        ObserverOption("password", "", "with what", secret=True),
        ObserverOption("tls", "auto", "auto, starttls, ssl or no"),
        ObserverOption("subject", "Loads Results", "the subject"),
    )

    def __init__(
        self,
        recipient: str = "",
        sender: str = "loads@localhost",
        host: str = "localhost",
        port: str = "25",
        user: str = "",
        password: str = "",
        tls: str = "auto",
        subject: str = "Loads Results",
    ) -> None:
        if not recipient:
            raise UsageError(
                "The observer 'email' does not know whom to write to.",
                "Give --observer-email-recipient me@example.com.",
            )
        if tls not in MODES:
            raise UsageError(
                f"--observer-email-tls {tls} is no choice.", f"One of: {', '.join(MODES)}."
            )
        self._host, self._port, self._tls = host, port_number("email", port), tls
        self._user, self._password = user, password
        from email.errors import MessageError
        from email.message import EmailMessage

        self._message = EmailMessage()
        try:
            self._message["From"], self._message["To"] = sender, recipient
            self._message["Subject"] = subject
        except (MessageError, ValueError, IndexError) as error:
            raise UsageError(
                f"The observer 'email' cannot write such a mail: {error}.",
                "Addresses are written as me@example.com or Me <me@example.com>.",
            ) from error

    def tell(self, view: RunView) -> None:
        """Send the mail.  Raises ``OSError``, of which ``smtplib.SMTPException`` is one."""
        import smtplib
        import ssl
        from email.utils import formatdate, make_msgid

        message = self._message
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="loads.invalid")
        message.set_content("\n".join([headline(view), "", *details(view)]) + "\n")
        context = ssl.create_default_context()
        with self._connect(context) as server:
            if self._tls in ("auto", "starttls"):
                server.ehlo()
                if self._tls == "starttls" or server.has_extn("starttls"):
                    server.starttls(context=context)
                elif self._password:
                    raise smtplib.SMTPNotSupportedError(
                        "the server offers no TLS, and a password is not sent without; "
                        "--observer-email-tls no sends it all the same"
                    )
            if self._user:
                server.login(self._user, self._password)
            server.send_message(message)

    def _connect(self, context: ssl.SSLContext) -> smtplib.SMTP:
        import smtplib

        if self._tls == "ssl":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT, context=context)
        return smtplib.SMTP(self._host, self._port, timeout=TIMEOUT)
