// payment: the process. See payment.h for what it is for.
#include "payment.h"

int main(int argc, char **argv)
{
    return service_main(&payment_service, argc, argv);
}
