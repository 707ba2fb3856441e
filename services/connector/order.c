// order: an order of the payment service as a pain.001.001.09 file (customer credit transfer initiation).
//
// The file is a pure function of the order and of who pays, so that the same order is the same bytes for
// ever.
#include "connector.h"
#include "values/text.h"
#include "values/values.h"

#include <assert.h>
#include <inttypes.h>
#include <libxml/xmlwriter.h>
#include <string.h>
#include <time.h>

#define NAMESPACE           "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
#define NAME_CHARACTERS     70
#define TEXT_CHARACTERS     140
#define END_TO_END_ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
#define END_TO_END_SIZE     26

char *order_message_id(arena_t *arena, const char *order_id)
{
    uint8_t digest[32];

    sha256(order_id, strlen(order_id), digest);
    return arena_printf(arena, "T%s", base32(arena, digest, sizeof digest, END_TO_END_SIZE));
}

// -------------------------------------------------------------------------------------------------- checking

// XML has no place for two characters that UTF-8 has, and a bank's line no place for control characters.
static bool is_bank_text(const char *text)
{
    if (!text_valid(text, strlen(text)) || strpbrk(text, "\n\t") != NULL)
        return false;
    return strstr(text, "\xEF\xBF\xBE") == NULL && strstr(text, "\xEF\xBF\xBF") == NULL;
}

static status_t check_ids(struct message *message, const PayOrder *order)
{
    const char *expected = arena_printf(message->arena, "%s#%" PRIu32, order->payment_key, order->attempt);

    if (*order->payment_key == '\0' || order->attempt == 0 || strcmp(order->order_id, expected) != 0)
        return fail(message, REFUSED, "order_id %.100s is not <payment key>#<attempt>: %.100s",
                    order->order_id, expected);
    if (strlen(order->end_to_end_id) != END_TO_END_SIZE ||
        strspn(order->end_to_end_id, END_TO_END_ALPHABET) != END_TO_END_SIZE)
        return fail(message, REFUSED, "end_to_end_id %.40s of order %s is not 26 characters of A-Z and 2-7",
                    order->end_to_end_id, order->order_id);
    return OK;
}

static status_t check_creditor(struct message *message, const PayOrder *order)
{
    if (*order->creditor_name == '\0' || !is_bank_text(order->creditor_name))
        return fail(message, REFUSED, "creditor_name of order %s is no line of text", order->order_id);
    if (!organisation_number_valid(order->creditor_organisation_number))
        return fail(
            message, REFUSED,
            "creditor_organisation_number %.20s of order %s has a wrong check digit; 9 digits are right",
            order->creditor_organisation_number, order->order_id);
    if (!account_number_valid(order->creditor_account))
        return fail(message, REFUSED,
                    "creditor_account %.20s of order %s has a wrong check digit; 11 digits are right",
                    order->creditor_account, order->order_id);
    return OK;
}

static status_t check_remittance(struct message *message, const PayOrder *order)
{
    if (*order->kid != '\0' && !kid_valid(order->kid))
        return fail(message, REFUSED, "kid %.30s of order %s has a wrong check digit", order->kid,
                    order->order_id);
    if (*order->kid == '\0' && (*order->text == '\0' || !is_bank_text(order->text)))
        return fail(message, REFUSED, "text of order %s is no line of text, and there is no kid",
                    order->order_id);
    return OK;
}

static status_t check_amount_and_dates(struct message *message, const PayOrder *order)
{
    int year, month, day;

    if (!money_valid(order->amount_ore) || order->amount_ore == 0)
        return fail(message, REFUSED, "amount_ore %" PRId64 " of order %s must be above zero",
                    order->amount_ore, order->order_id);
    if (!date_parse(order->value_date, &year, &month, &day))
        return fail(message, REFUSED, "value_date %.20s of order %s is no date; write YYYY-MM-DD",
                    order->value_date, order->order_id);
    if (order->ordered_at_us <= 0 || order->ordered_at_us >= INT64_C(253402300800000000))
        return fail(message, REFUSED, "ordered_at_us of order %s is no instant", order->order_id);
    return OK;
}

status_t order_check(struct message *message, const PayOrder *order)
{
    status_t status = check_ids(message, order);

    if (status == OK)
        status = check_creditor(message, order);
    if (status == OK)
        status = check_remittance(message, order);
    if (status == OK)
        status = check_amount_and_dates(message, order);
    return status;
}

// --------------------------------------------------------------------------------------------------- writing

// Writing to memory fails only without memory, and then nothing can be saved.
static void done(int written)
{
    assert(written >= 0);
}

static void begin(xmlTextWriterPtr writer, const char *name)
{
    done(xmlTextWriterStartElement(writer, BAD_CAST name));
}

static void end(xmlTextWriterPtr writer)
{
    done(xmlTextWriterEndElement(writer));
}

static void put(xmlTextWriterPtr writer, const char *name, const char *text)
{
    done(xmlTextWriterWriteElement(writer, BAD_CAST name, BAD_CAST text));
}

// At most so many characters, never half of one.
static char *cut(arena_t *arena, const char *text, int characters)
{
    size_t size = 0;

    while (characters-- > 0 && text[size] != '\0')
        size += text_character(text + size, strlen(text + size));
    return arena_printf(arena, "%.*s", (int)size, text);
}

static char *decimal(arena_t *arena, int64_t ore)
{
    return arena_printf(arena, "%" PRId64 ".%02d", ore / 100, (int)(ore % 100));
}

static char *created_at(arena_t *arena, int64_t at_us)
{
    time_t seconds = (time_t)(at_us / 1000000);
    struct tm parts;
    char text[32];

    gmtime_r(&seconds, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return arena_text(arena, text);
}

// A Norwegian account number: no IBAN, but a number of the basic kind.
static void put_account(xmlTextWriterPtr writer, const char *name, const char *number)
{
    begin(writer, name);
    begin(writer, "Id");
    begin(writer, "Othr");
    put(writer, "Id", number);
    begin(writer, "SchmeNm");
    put(writer, "Cd", "BBAN");
    for (int i = 0; i < 4; i++)
        end(writer);
}

static void put_header(xmlTextWriterPtr writer, arena_t *arena, const struct debtor *debtor,
                       const PayOrder *order, const char *message_id)
{
    begin(writer, "GrpHdr");
    put(writer, "MsgId", message_id);
    put(writer, "CreDtTm", created_at(arena, order->ordered_at_us));
    put(writer, "NbOfTxs", "1");
    put(writer, "CtrlSum", decimal(arena, order->amount_ore));
    begin(writer, "InitgPty");
    put(writer, "Nm", cut(arena, debtor->name, NAME_CHARACTERS));
    end(writer);
    end(writer);
}

static void put_debtor(xmlTextWriterPtr writer, arena_t *arena, const struct debtor *debtor)
{
    begin(writer, "Dbtr");
    put(writer, "Nm", cut(arena, debtor->name, NAME_CHARACTERS));
    end(writer);
    put_account(writer, "DbtrAcct", debtor->account);
    begin(writer, "DbtrAgt");
    begin(writer, "FinInstnId");
    if (*debtor->bic != '\0') {
        put(writer, "BICFI", debtor->bic);
    } else {
        begin(writer, "ClrSysMmbId");
        put(writer, "MmbId", debtor->clearing);
        end(writer);
    }
    end(writer);
    end(writer);
    put(writer, "ChrgBr", "SLEV");
}

static void put_creditor(xmlTextWriterPtr writer, arena_t *arena, const PayOrder *order)
{
    begin(writer, "Cdtr");
    put(writer, "Nm", cut(arena, order->creditor_name, NAME_CHARACTERS));
    begin(writer, "Id");
    begin(writer, "OrgId");
    begin(writer, "Othr");
    put(writer, "Id", order->creditor_organisation_number);
    for (int i = 0; i < 4; i++)
        end(writer);
    put_account(writer, "CdtrAcct", order->creditor_account);
}

static void put_remittance(xmlTextWriterPtr writer, arena_t *arena, const PayOrder *order)
{
    begin(writer, "RmtInf");
    if (*order->kid == '\0') {
        put(writer, "Ustrd", cut(arena, order->text, TEXT_CHARACTERS));
        end(writer);
        return;
    }
    begin(writer, "Strd");
    begin(writer, "CdtrRefInf");
    begin(writer, "Tp");
    begin(writer, "CdOrPrtry");
    put(writer, "Cd", "SCOR");
    end(writer);
    end(writer);
    put(writer, "Ref", order->kid);
    for (int i = 0; i < 3; i++)
        end(writer);
}

static void put_transaction(xmlTextWriterPtr writer, arena_t *arena, const PayOrder *order)
{
    begin(writer, "CdtTrfTxInf");
    begin(writer, "PmtId");
    put(writer, "EndToEndId", order->end_to_end_id);
    end(writer);
    begin(writer, "Amt");
    begin(writer, "InstdAmt");
    done(xmlTextWriterWriteAttribute(writer, BAD_CAST "Ccy", BAD_CAST "NOK"));
    done(xmlTextWriterWriteString(writer, BAD_CAST decimal(arena, order->amount_ore)));
    end(writer);
    end(writer);
    put_creditor(writer, arena, order);
    put_remittance(writer, arena, order);
    end(writer);
}

static void put_payment(xmlTextWriterPtr writer, arena_t *arena, const struct debtor *debtor,
                        const PayOrder *order, const char *message_id)
{
    begin(writer, "PmtInf");
    put(writer, "PmtInfId", message_id);
    put(writer, "PmtMtd", "TRF");
    put(writer, "NbOfTxs", "1");
    put(writer, "CtrlSum", decimal(arena, order->amount_ore));
    begin(writer, "ReqdExctnDt");
    put(writer, "Dt", order->value_date);
    end(writer);
    put_debtor(writer, arena, debtor);
    put_transaction(writer, arena, order);
    end(writer);
}

ProtobufCBinaryData order_write(arena_t *arena, const struct debtor *debtor, const PayOrder *order)
{
    const char *message_id = order_message_id(arena, order->order_id);
    xmlBufferPtr buffer = xmlBufferCreate();
    xmlTextWriterPtr writer = xmlNewTextWriterMemory(buffer, 0);

    assert(buffer != NULL && writer != NULL);
    done(xmlTextWriterSetIndent(writer, 1));
    done(xmlTextWriterStartDocument(writer, "1.0", "UTF-8", NULL));
    begin(writer, "Document");
    done(xmlTextWriterWriteAttribute(writer, BAD_CAST "xmlns", BAD_CAST NAMESPACE));
    begin(writer, "CstmrCdtTrfInitn");
    put_header(writer, arena, debtor, order, message_id);
    put_payment(writer, arena, debtor, order, message_id);
    end(writer);
    end(writer);
    done(xmlTextWriterEndDocument(writer));
    xmlFreeTextWriter(writer);

    size_t size = (size_t)xmlBufferLength(buffer);
    ProtobufCBinaryData file = {.data = arena_copy(arena, xmlBufferContent(buffer), size), .len = size};
    xmlBufferFree(buffer);
    return file;
}
