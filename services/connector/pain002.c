// pain002: reads what the bank says (customer payment status report), from a file that may be anything.
//
// Only elements, attributes and text are let in: a DOCTYPE ends the reading before its contents are looked
// at, nothing is fetched, and depth and number of elements are counted while the parser runs. Then the
// structure is checked, and the official schema where there is one.
#include "connector.h"
#include "limits/limits.h"
#include "values/text.h"
#include "values/values.h"

#include <assert.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <string.h>
#include <strings.h>

#define NAMESPACE_FORM "urn:iso:std:iso:20022:tech:xsd:pain.002.001."
#define CODE_BYTES     35

// What is being read, and the first thing that is wrong with it.
struct reading {
    arena_t *arena;
    const char *fault;
    int elements;
    struct statements *ret;
    int room;           // statements that there is room for
    char *original_id;  // of the file that it is about
};

static const char *fault(struct reading *reading, const char *sentence)
{
    if (reading->fault == NULL)
        reading->fault = sentence;
    return reading->fault;
}

// ------------------------------------------------------------------------------------------- guarded parsing

static void stop(xmlParserCtxtPtr parser, const char *sentence)
{
    fault(parser->_private, sentence);
    xmlStopParser(parser);
}

static void on_doctype(void *context, const xmlChar *name, const xmlChar *external_id,
                       const xmlChar *system_id)
{
    (void)name;
    (void)external_id;
    (void)system_id;
    stop(context, "it has a DOCTYPE, which no bank needs and no file may have");
}

static void on_element(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                       int namespace_count, const xmlChar **namespaces, int attribute_count,
                       int defaulted_count, const xmlChar **attributes)
{
    xmlParserCtxtPtr parser = context;
    struct reading *reading = parser->_private;

    reading->elements += 1 + namespace_count + attribute_count;
    if (parser->nameNr >= PAIN_DEPTH)
        stop(parser,
             arena_printf(reading->arena, "its elements are nested deeper than %d levels", PAIN_DEPTH));
    else if (reading->elements > PAIN_ELEMENTS)
        stop(parser, arena_printf(reading->arena, "it has more than %d elements", PAIN_ELEMENTS));
    else
        xmlSAX2StartElementNs(context, name, prefix, uri, namespace_count, namespaces, attribute_count,
                              defaulted_count, attributes);
}

static void no_processing(void *context, const xmlChar *target, const xmlChar *data)
{
    (void)target;
    (void)data;
    stop(context, "it has a processing instruction, which no bank needs");
}

static void keep_error(void *context, xmlErrorPtr error)
{
    struct reading *reading = ((xmlParserCtxtPtr)context)->_private;

    if (reading->fault == NULL && error->level >= XML_ERR_ERROR)
        reading->fault = arena_printf(reading->arena, "it is not well-formed XML: line %d: %.*s", error->line,
                                      (int)strcspn(error->message, "\n"), error->message);
}

static xmlDocPtr parse(struct reading *reading, ProtobufCBinaryData bytes)
{
    xmlParserCtxtPtr parser = xmlNewParserCtxt();

    assert(parser != NULL);
    parser->_private = reading;
    parser->sax->internalSubset = on_doctype;
    parser->sax->externalSubset = on_doctype;
    parser->sax->startElementNs = on_element;
    parser->sax->processingInstruction = no_processing;
    parser->sax->serror = keep_error;
    xmlDocPtr document = xmlCtxtReadMemory(parser, (const char *)bytes.data, (int)bytes.len, NULL, NULL,
                                           XML_PARSE_NONET | XML_PARSE_NOCDATA);
    if (parser->wellFormed == 0)
        fault(reading, "it is not well-formed XML");
    if (document == NULL && parser->myDoc != NULL)
        xmlFreeDoc(parser->myDoc);
    parser->myDoc = NULL;
    xmlFreeParserCtxt(parser);
    if (reading->fault != NULL && document != NULL) {
        xmlFreeDoc(document);
        document = NULL;
    }
    return document;
}

// --------------------------------------------------------------------------------------------------- walking

static bool is_named(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static const xmlNode *next_named(const xmlNode *node, const char *name)
{
    while (node != NULL && !is_named(node, name))
        node = node->next;
    return node;
}

static const xmlNode *child(const xmlNode *parent, const char *name)
{
    return parent != NULL ? next_named(parent->children, name) : NULL;
}

static const xmlNode *sibling(const xmlNode *node, const char *name)
{
    return next_named(node->next, name);
}

// The only child of its name; a second one is a fault.
static const xmlNode *single(struct reading *reading, const xmlNode *parent, const char *name)
{
    const xmlNode *found = child(parent, name);

    if (found != NULL && sibling(found, name) != NULL)
        fault(reading, arena_printf(reading->arena, "element %s stands twice in %s", name, parent->name));
    return found;
}

// The text of an element that has nothing but text; "" when it is not there.
static char *text_of(struct reading *reading, const xmlNode *node)
{
    if (node == NULL || node->children == NULL)
        return arena_text(reading->arena, "");
    if (node->children->next != NULL || node->children->type != XML_TEXT_NODE) {
        fault(reading, arena_printf(reading->arena, "element %s should hold text only", node->name));
        return arena_text(reading->arena, "");
    }
    return arena_text(reading->arena, (const char *)node->children->content);
}

static int characters(const char *text)
{
    int count = 0;

    for (; *text != '\0'; text++)
        count += (*text & 0xC0) != 0x80;
    return count;
}

// An identifier: 1 to 35 characters that can travel further.
static char *identifier(struct reading *reading, const xmlNode *parent, const char *name, bool required)
{
    char *text = text_of(reading, single(reading, parent, name));

    if (*text == '\0' && required)
        fault(reading, arena_printf(reading->arena, "element %s/%s is missing", parent->name, name));
    if (characters(text) > PAIN_ID || !text_valid(text, strlen(text)) || strpbrk(text, "\n\t") != NULL)
        fault(reading, arena_printf(reading->arena, "element %s/%s is no identifier of 1 to %d characters",
                                    parent->name, name, PAIN_ID));
    return text;
}

// Prose becomes one line that can travel further.
static char *one_line(struct reading *reading, const char *text)
{
    char *line = arena_text(reading->arena, text);
    size_t at = 0, size = strlen(line);

    while (at < size && at < LIMIT_LINE_BYTES) {
        size_t length = text_character(line + at, size - at);
        if (length == 0 || line[at] == '\n' || line[at] == '\t')
            line[at] = ' ';
        if (at + length > LIMIT_LINE_BYTES)
            break;
        at += length > 0 ? length : 1;
    }
    line[at] = '\0';
    return line;
}

// ----------------------------------------------------------------------------------------------- the meaning

// ISO 20022 external codes of statuses. What is only under way says nothing yet; what is not here needs a
// person.
enum word { UNKNOWN, UNDER_WAY, SAYS };
static const struct {
    const char *code;
    enum word word;
    Finance__V1__ReportStatus__State state;
} status_codes[] = {
    {"ACCP", SAYS, FINANCE__V1__REPORT_STATUS__STATE__ACCEPTED},
    {"ACSP", SAYS, FINANCE__V1__REPORT_STATUS__STATE__ACCEPTED},
    {"ACTC", SAYS, FINANCE__V1__REPORT_STATUS__STATE__ACCEPTED},
    {"ACWC", SAYS, FINANCE__V1__REPORT_STATUS__STATE__ACCEPTED},
    {"ACSC", SAYS, FINANCE__V1__REPORT_STATUS__STATE__SETTLED},
    {"ACCC", SAYS, FINANCE__V1__REPORT_STATUS__STATE__SETTLED},
    {"RJCT", SAYS, FINANCE__V1__REPORT_STATUS__STATE__REJECTED},
    {"RCVD", UNDER_WAY, 0},
    {"PDNG", UNDER_WAY, 0},
    {"PATC", UNDER_WAY, 0},
    {"PART", UNDER_WAY, 0},
    {"ACFC", UNDER_WAY, 0},
    {"ACPD", UNDER_WAY, 0},
    {"ACIS", UNDER_WAY, 0},
    {"PRES", UNDER_WAY, 0},
    {"RCVC", UNDER_WAY, 0},
};

// Reasons that by their definition are given for money that was booked and came back: following a
// cancellation, unable to apply, undue payment.
static const char *const return_codes[] = {"FOCR", "RUTA", "UPAY"};

static enum word look_up(const char *code, Finance__V1__ReportStatus__State *ret_state)
{
    for (size_t i = 0; i < sizeof status_codes / sizeof status_codes[0]; i++) {
        if (strcmp(status_codes[i].code, code) == 0) {
            *ret_state = status_codes[i].state;
            return status_codes[i].word;
        }
    }
    return UNKNOWN;
}

static bool is_return(const char *code)
{
    for (size_t i = 0; i < sizeof return_codes / sizeof return_codes[0]; i++)
        if (strcmp(return_codes[i], code) == 0)
            return true;
    return false;
}

// The first reason that a status gives: its code, and what is added in words.
static void read_reason(struct reading *reading, const xmlNode *parent, struct statement *statement)
{
    const xmlNode *information = child(parent, "StsRsnInf");
    const xmlNode *reason = single(reading, information, "Rsn");
    const char *text = "";

    statement->code = text_of(reading, single(reading, reason, "Cd"));
    if (*statement->code == '\0')
        statement->code = text_of(reading, single(reading, reason, "Prtry"));
    if (strlen(statement->code) > CODE_BYTES || !text_valid(statement->code, strlen(statement->code)))
        fault(reading, "a reason's code is longer than 35 characters or no text");
    for (const xmlNode *added = child(information, "AddtlInf");
         added != NULL && strlen(text) < LIMIT_LINE_BYTES; added = sibling(added, "AddtlInf"))
        text = arena_printf(reading->arena, "%s%s%s", text, *text != '\0' ? " " : "",
                            text_of(reading, added));
    statement->text = one_line(reading, text);
}

// "1234.5" and "1234.50" are 123450 øre; anything else, or more than two decimals, is no amount. -1 then.
static int64_t ore_of(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    const char *decimals = text + whole + (text[whole] == '.');
    size_t count = strspn(decimals, "0123456789");
    int64_t ore = 0;

    if (whole < 1 || whole > 13 || count > 2 || decimals[count] != '\0' || (text[whole] == '.' && count == 0))
        return -1;
    for (size_t i = 0; i < whole; i++)
        ore = ore * 10 + (text[i] - '0');
    for (size_t i = 0; i < 2; i++)
        ore = ore * 10 + (i < count ? decimals[i] - '0' : 0);
    return ore;
}

// The amount of the original transaction, when the bank states it: in NOK.
static int64_t read_amount(struct reading *reading, const xmlNode *transaction)
{
    const xmlNode *reference = single(reading, transaction, "OrgnlTxRef");
    const xmlNode *amount = single(reading, single(reading, reference, "Amt"), "InstdAmt");

    if (amount == NULL)
        return 0;
    xmlChar *currency = xmlGetNoNsProp(amount, BAD_CAST "Ccy");
    bool krone = currency != NULL && strcmp((const char *)currency, "NOK") == 0;
    xmlFree(currency);
    int64_t ore = ore_of(text_of(reading, amount));
    if (!krone || !money_valid(ore)) {
        fault(reading, "an InstdAmt is no amount in NOK");
        return 0;
    }
    return ore;
}

static void add(struct reading *reading, struct statement statement)
{
    struct statements *ret = reading->ret;

    if (ret->count == reading->room) {
        int room = reading->room > 0 ? reading->room * 2 : 8;
        struct statement *all = arena_alloc(reading->arena, (size_t)room * sizeof *all);
        if (ret->count > 0)
            memcpy(all, ret->all, (size_t)ret->count * sizeof *all);
        ret->all = all;
        reading->room = room;
    }
    ret->all[ret->count++] = statement;
}

// One status, said in the element status_name of parent about one payment, or about all when end_to_end_id is
// "".
static void read_status(struct reading *reading, const xmlNode *parent, const char *status_name,
                        char *end_to_end_id, int64_t amount_ore)
{
    char *code = text_of(reading, single(reading, parent, status_name));
    struct statement statement = {
        .message_id = reading->original_id, .end_to_end_id = end_to_end_id, .amount_ore = amount_ore};
    enum word word = look_up(code, &statement.state);

    if (word == UNKNOWN)
        fault(reading,
              arena_printf(reading->arena, "%s %.10s is no status that is known here; a person must look",
                           status_name, one_line(reading, code)));
    read_reason(reading, parent, &statement);
    if (statement.state == FINANCE__V1__REPORT_STATUS__STATE__REJECTED && is_return(statement.code))
        statement.state = FINANCE__V1__REPORT_STATUS__STATE__RETURNED;
    if (word == SAYS && reading->fault == NULL)
        add(reading, statement);
}

// The transactions of one payment; false when it has none.
static bool read_transactions(struct reading *reading, const xmlNode *payment)
{
    const xmlNode *transaction = child(payment, "TxInfAndSts");
    bool any = transaction != NULL;

    for (; transaction != NULL && reading->fault == NULL; transaction = sibling(transaction, "TxInfAndSts")) {
        char *id = identifier(reading, transaction, "OrgnlEndToEndId", false);
        if (single(reading, transaction, "TxSts") != NULL)
            read_status(reading, transaction, "TxSts", id, read_amount(reading, transaction));
    }
    return any;
}

// The narrowest statement counts: about a transaction, else about a payment, else about the whole file.
static void read_payments(struct reading *reading, const xmlNode *report, const xmlNode *group)
{
    bool narrower = false;

    for (const xmlNode *payment = child(report, "OrgnlPmtInfAndSts");
         payment != NULL && reading->fault == NULL; payment = sibling(payment, "OrgnlPmtInfAndSts")) {
        identifier(reading, payment, "OrgnlPmtInfId", true);
        bool told = read_transactions(reading, payment);
        if (!told && single(reading, payment, "PmtInfSts") != NULL) {
            read_status(reading, payment, "PmtInfSts", arena_text(reading->arena, ""), 0);
            told = true;
        }
        narrower = narrower || told;
    }
    if (!narrower && single(reading, group, "GrpSts") != NULL)
        read_status(reading, group, "GrpSts", arena_text(reading->arena, ""), 0);
}

static void read_report(struct reading *reading, const xmlNode *document)
{
    const xmlNode *report = single(reading, document, "CstmrPmtStsRpt");
    const xmlNode *header = single(reading, report, "GrpHdr");
    const xmlNode *group = single(reading, report, "OrgnlGrpInfAndSts");

    if (report == NULL || header == NULL || group == NULL) {
        fault(reading, "it has no CstmrPmtStsRpt with GrpHdr and OrgnlGrpInfAndSts");
        return;
    }
    reading->ret->message_id = identifier(reading, header, "MsgId", true);
    reading->original_id = identifier(reading, group, "OrgnlMsgId", true);
    if (reading->fault == NULL)
        read_payments(reading, report, group);
}

// --------------------------------------------------------------------------------------- the document itself

// "10" or "03" at the end of the namespace; NULL when it is another one. Every element must be in it.
static const char *version_of(const xmlNode *root)
{
    size_t form_size = strlen(NAMESPACE_FORM);
    const char *uri = root->ns != NULL ? (const char *)root->ns->href : "";

    if (!is_named(root, "Document") || strncmp(uri, NAMESPACE_FORM, form_size) != 0)
        return NULL;
    return strcmp(uri + form_size, "10") == 0 || strcmp(uri + form_size, "03") == 0 ? uri + form_size : NULL;
}

// The next node in document order; NULL after the last.
static const xmlNode *next_node(const xmlNode *node, const xmlNode *root)
{
    if (node->children != NULL)
        return node->children;
    while (node != root && node->next == NULL)
        node = node->parent;
    return node != root ? node->next : NULL;
}

static bool one_namespace(const xmlNode *root)
{
    for (const xmlNode *node = root; node != NULL; node = next_node(node, root))
        if (node->type == XML_ELEMENT_NODE &&
            (node->ns == NULL || strcmp((const char *)node->ns->href, (const char *)root->ns->href) != 0))
            return false;
    return true;
}

static bool is_utf8(const xmlDoc *document)
{
    const char *encoding = (const char *)document->encoding;

    return encoding == NULL || strcasecmp(encoding, "UTF-8") == 0 || strcasecmp(encoding, "US-ASCII") == 0;
}

static void read_document(struct reading *reading, xmlDocPtr document, const schema_t *schema)
{
    const xmlNode *root = xmlDocGetRootElement(document);
    const char *version = root != NULL ? version_of(root) : NULL;

    if (!is_utf8(document))
        fault(reading, "it is not written in UTF-8");
    else if (version == NULL || !one_namespace(root))
        fault(reading, "its namespace is not that of pain.002.001.10 or pain.002.001.03");
    else if (strcmp(version, "10") == 0 && schema_check(schema, reading->arena, document) != NULL)
        fault(reading, schema_check(schema, reading->arena, document));
    else
        read_report(reading, root);
}

const char *pain002_read(arena_t *arena, ProtobufCBinaryData bytes, const schema_t *schema,
                         struct statements *ret)
{
    struct reading reading = {.arena = arena, .ret = ret};

    *ret = (struct statements){.count = 0};
    if (bytes.len > PAIN_BYTES)
        return arena_printf(arena, "it is larger than %d bytes", PAIN_BYTES);
    xmlDocPtr document = parse(&reading, bytes);
    if (document == NULL)
        return fault(&reading, "it is not well-formed XML");
    read_document(&reading, document, schema);
    xmlFreeDoc(document);
    return reading.fault;
}
